#pragma once
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "engine/torch.h"

namespace sotto {

// The convolutional network that papers on DP-SGD use for MNIST (Papernot et al., arXiv 2007.14191; 26,010 parameters):
// conv 8x8/2 of 16 channels, max pool, conv 4x4/2 of 32, max pool, linear 32, linear 10, over images [batch, 1, 28,
// 28]. An ordinary LibTorch module.
class MnistCnn : public torch::nn::Module {
 public:
  MnistCnn();
  at::Tensor forward(const at::Tensor& images);

 private:
  torch::nn::Conv2d conv1_{nullptr}, conv2_{nullptr};
  torch::nn::Linear hidden_{nullptr}, head_{nullptr};
};

}  // namespace sotto
