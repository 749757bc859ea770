#include "engine/models/mnist_cnn.h"

namespace sotto {

MnistCnn::MnistCnn() {
  using namespace torch::nn;
  conv1_ = register_module("conv1", Conv2d(Conv2dOptions(1, 16, 8).stride(2).padding(3)));
  conv2_ = register_module("conv2", Conv2d(Conv2dOptions(16, 32, 4).stride(2)));
  hidden_ = register_module("hidden", Linear(32 * 4 * 4, 32));
  head_ = register_module("head", Linear(32, 10));
}

at::Tensor MnistCnn::forward(const at::Tensor& images) {
  at::Tensor x = at::max_pool2d(at::relu(conv1_->forward(images)), 2, 1);
  x = at::max_pool2d(at::relu(conv2_->forward(x)), 2, 1);
  return head_->forward(at::relu(hidden_->forward(x.flatten(1))));
}

}  // namespace sotto
