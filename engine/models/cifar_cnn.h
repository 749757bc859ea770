#pragma once
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <vector>

#include "engine/torch.h"

namespace sotto {

// A convolutional network for CIFAR-10 with group normalisation, which DP-SGD needs in the place of batch
// normalisation: 3x3 convolutions of 32, 32, 64, 64, 128 and 128 channels, a max pool after each pair, linear 128,
// linear 10, over images [batch, 3, 32, 32]; each convolution is followed by GroupNorm with 8 groups and ReLU. An
// ordinary LibTorch module.
class CifarCnn : public torch::nn::Module {
 public:
  CifarCnn();
  at::Tensor forward(const at::Tensor& images);

 private:
  std::vector<torch::nn::Conv2d> convs_;
  std::vector<torch::nn::GroupNorm> norms_;
  torch::nn::Linear hidden_{nullptr}, head_{nullptr};
};

}  // namespace sotto
