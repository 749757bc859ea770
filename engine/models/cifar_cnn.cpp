#include "engine/models/cifar_cnn.h"

#include "base/error.h"

namespace sotto {

CifarCnn::CifarCnn() {
  using namespace torch::nn;
  int64_t in = 3;
  for (const int64_t out : {32, 32, 64, 64, 128, 128}) {
    const size_t number = convs_.size() + 1;
    convs_.push_back(register_module(cat("conv", number), Conv2d(Conv2dOptions(in, out, 3).padding(1))));
    norms_.push_back(register_module(cat("norm", number), GroupNorm(GroupNormOptions(8, out))));
    in = out;
  }
  hidden_ = register_module("hidden", Linear(128 * 4 * 4, 128));
  head_ = register_module("head", Linear(128, 10));
}

at::Tensor CifarCnn::forward(const at::Tensor& images) {
  at::Tensor x = images;
  for (size_t i = 0; i < convs_.size(); ++i) {
    x = at::relu(norms_[i]->forward(convs_[i]->forward(x)));
    if (i % 2 == 1) x = at::max_pool2d(x, 2);
  }
  return head_->forward(at::relu(hidden_->forward(x.flatten(1))));
}

}  // namespace sotto
