#pragma once
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <memory>
#include <vector>

#include "engine/torch.h"

namespace sotto {

// He et al. 2016, with group normalisation (Wu and He 2018) where it had batch normalisation, which mixes samples.
// The defaults are ResNet-50.
struct ResnetSizes {
  std::vector<int64_t> blocks = {3, 4, 6, 3};
  int64_t width = 64, groups = 32, outputs = 1000;
};

// 1×1, 3×3 and 1×1 convolutions around a residual sum; the last widens four times.
class Bottleneck : public torch::nn::Module {
 public:
  Bottleneck(int64_t in, int64_t width, int64_t stride, int64_t groups);
  at::Tensor forward(const at::Tensor& x);

 private:
  struct Layer {
    torch::nn::Conv2d convolution{nullptr};
    torch::nn::GroupNorm norm{nullptr};
  };
  Layer layer(const char* name, int64_t in, int64_t out, int64_t taps, int64_t stride, int64_t groups);
  Layer narrow_, middle_, wide_, shortcut_;  // the shortcut's is absent where x fits as it is
};

// Images [batch, 3, side, side] to [batch, outputs].
class Resnet : public torch::nn::Module {
 public:
  explicit Resnet(const ResnetSizes& sizes);
  at::Tensor forward(const at::Tensor& images);

 private:
  torch::nn::Conv2d stem_{nullptr};
  torch::nn::GroupNorm norm_{nullptr};
  std::vector<std::shared_ptr<Bottleneck>> blocks_;
  torch::nn::Linear head_{nullptr};
};

}  // namespace sotto
