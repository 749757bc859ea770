#pragma once
#include "engine/torch.h"

namespace sotto {

// y = x Wᵀ + α/r · (x Aᵀ) Bᵀ (Hu et al. 2022, §4.1), x [..., inputs], y [..., outputs]. W [outputs, inputs] is frozen;
// A [r, inputs] and B [outputs, r] are trained. B begins at 0, so that training begins at W alone.
class LoraLinear : public torch::nn::Module {
 public:
  LoraLinear(int64_t inputs, int64_t outputs, int64_t rank, double alpha);
  at::Tensor forward(const at::Tensor& x);

 private:
  double scale_;  // α/r
  at::Tensor weight_, down_, up_;
};

}  // namespace sotto
