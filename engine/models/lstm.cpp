#include "engine/models/lstm.h"

namespace sotto {

Lstm::Lstm(int64_t features, int64_t width, int64_t outputs) {
  using namespace torch::nn;
  lstm_ = register_module("lstm", LSTM(LSTMOptions(features, width).batch_first(true)));
  head_ = register_module("head", Linear(width, outputs));
}

at::Tensor Lstm::forward(const at::Tensor& x) {
  const auto [output, states] = lstm_->forward(x);
  return head_->forward(std::get<0>(states)[0]);
}

}  // namespace sotto
