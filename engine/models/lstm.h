#pragma once
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>

#include "engine/torch.h"

namespace sotto {

// An LSTM over sequences [batch, length, features] and a linear head on its last hidden state. An ordinary LibTorch
// module.
class Lstm : public torch::nn::Module {
 public:
  Lstm(int64_t features, int64_t width, int64_t outputs);
  at::Tensor forward(const at::Tensor& x);

 private:
  torch::nn::LSTM lstm_{nullptr};
  torch::nn::Linear head_{nullptr};
};

}  // namespace sotto
