#include "engine/tape/recurrent_passes.h"

namespace sotto {
namespace {

using kernels::Cell;

MatrixView<const float> in(const at::Tensor& tensor) {
  if (!tensor.defined()) return {nullptr, 0, 0};
  return {tensor.const_data_ptr<float>(), tensor.numel() / tensor.size(-1), tensor.size(-1)};
}

MatrixView<float> out(at::Tensor& tensor) {
  if (!tensor.defined()) return {nullptr, 0, 0};
  return {tensor.mutable_data_ptr<float>(), tensor.numel() / tensor.size(-1), tensor.size(-1)};
}

VectorView<const float> vector(const at::Tensor& tensor) {
  if (!tensor.defined()) return {nullptr, 0};
  return {tensor.const_data_ptr<float>(), tensor.numel()};
}

kernels::RecurrentLayer layer_of(const RecurrentWeights& weights, const RecurrentTensors& tensors) {
  return {weights.cell,
          tensors.x.size(0),
          tensors.x.size(1),
          weights.reverse,
          in(weights.input_weight),
          in(weights.hidden_weight),
          vector(weights.input_bias),
          vector(weights.hidden_bias)};
}

}  // namespace

void recurrent_forward(const Exec& exec, const RecurrentWeights& weights, RecurrentTensors& tensors) {
  if (exec.on_cuda()) return recurrent_forward_by_steps(exec, weights, tensors);
  const int64_t batch = tensors.x.size(0), length = tensors.x.size(1);
  const int64_t units = weights.hidden_weight.size(1), gates = weights.hidden_weight.size(0);
  const auto make = [&](int64_t columns) { return at::empty({batch, length, columns}, tensors.x.options()); };
  tensors.hidden = make(units);
  if (kernels::keeps_gates(weights.cell)) tensors.gates = make(gates), tensors.state = make(units);
  kernels::recurrent_forward(exec, layer_of(weights, tensors), in(tensors.x), in(tensors.first_hidden),
                             in(tensors.first_cell), {out(tensors.hidden), out(tensors.gates), out(tensors.state)});
}

RecurrentGradients recurrent_backward(const Exec& exec, const RecurrentWeights& weights, RecurrentTensors& tensors,
                                      const at::Tensor& hidden, const at::Tensor& last_hidden,
                                      const at::Tensor& last_cell, bool with_x) {
  if (exec.on_cuda())
    return recurrent_backward_by_steps(exec, weights, tensors, hidden, last_hidden, last_cell, with_x);
  const int64_t batch = tensors.x.size(0), length = tensors.x.size(1), gates = weights.hidden_weight.size(0);
  const bool gru = weights.cell == Cell::gru;
  const auto contiguous = [](const at::Tensor& x) { return x.defined() ? x.contiguous() : x; };
  const at::Tensor given = contiguous(hidden), given_hidden = contiguous(last_hidden),
                   given_cell = contiguous(last_cell);
  const auto options = tensors.x.options();
  RecurrentGradients made;
  made.gates = tensors.gates.defined() ? tensors.gates : at::empty({batch, length, gates}, options);
  made.bias = at::empty({batch, gates}, options);
  if (gru) made.hidden_gates = at::empty_like(made.gates), made.hidden_bias = at::empty_like(made.bias);
  if (with_x) made.x = at::empty_like(tensors.x);
  made.first_hidden = at::empty_like(tensors.first_hidden);
  if (tensors.first_cell.defined()) made.first_cell = at::empty_like(tensors.first_cell);
  kernels::recurrent_backward(exec, layer_of(weights, tensors), in(tensors.first_hidden), in(tensors.first_cell),
                              {out(tensors.hidden), out(tensors.gates), out(tensors.state)},
                              {in(given), in(given_hidden), in(given_cell)},
                              {out(made.gates), out(made.hidden_gates), out(made.bias), out(made.hidden_bias),
                               out(made.x), out(made.first_hidden), out(made.first_cell)});
  tensors.gates = at::Tensor();
  if (!gru) made.hidden_gates = made.gates, made.hidden_bias = made.bias;
  return made;
}

at::Tensor hidden_before(const RecurrentWeights& weights, const RecurrentTensors& tensors) {
  const at::Tensor first = tensors.first_hidden.unsqueeze(1);
  const int64_t others = tensors.hidden.size(1) - 1;
  return weights.reverse ? at::cat({tensors.hidden.narrow(1, 1, others), first}, 1)
                         : at::cat({first, tensors.hidden.narrow(1, 0, others)}, 1);
}

}  // namespace sotto
