#include "engine/models/lora_linear.h"

#include <cmath>

#include "base/error.h"

namespace sotto {

LoraLinear::LoraLinear(int64_t inputs, int64_t outputs, int64_t rank, double alpha)
    : scale_(alpha / static_cast<double>(rank)) {
  require(rank >= 1, "a LoRA factor needs a rank of at least 1, got ", rank);
  const double spread = 1 / std::sqrt(static_cast<double>(inputs));
  weight_ = register_parameter("weight", at::empty({outputs, inputs}).uniform_(-spread, spread),
                               /*requires_grad=*/false);
  down_ = register_parameter("lora_a", at::empty({rank, inputs}).uniform_(-spread, spread));
  up_ = register_parameter("lora_b", at::zeros({outputs, rank}));
}

at::Tensor LoraLinear::forward(const at::Tensor& x) {
  return at::linear(x, weight_) + scale_ * at::linear(at::linear(x, down_), up_);
}

}  // namespace sotto
