#pragma once
#include <torch/nn/modules/linear.h>

#include <vector>

#include "engine/torch.h"

namespace sotto {

// linear (relu linear)*: with no hidden layer, logistic regression. An ordinary LibTorch module: nothing in it knows of
// privacy.
class Mlp : public torch::nn::Module {
 public:
  Mlp(int64_t inputs, const std::vector<int64_t>& hidden, int64_t outputs);
  at::Tensor forward(const at::Tensor& input);
  // Makes the outputs `bias` whatever the input is.
  void start_at(double bias);

 private:
  std::vector<torch::nn::Linear> layers_;
};

// The same function as TorchScript, with the module's present values.
torch::jit::Module mlp_script(const std::vector<std::pair<std::string, at::Tensor>>& parameters);

}  // namespace sotto
