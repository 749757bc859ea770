#include "engine/tape/recurrent_passes.h"

namespace sotto {
namespace {

using kernels::Cell;
using kernels::StepRows;

// Step `time` of [N, T, C], or all of [N, C].
at::Tensor step_of(const at::Tensor& x, int64_t time) {
  return x.defined() && x.dim() == 3 ? x.select(1, time) : x;
}

StepRows<const float> in(const at::Tensor& x) {
  if (!x.defined()) return {nullptr, 0, 0};
  return {x.const_data_ptr<float>(), x.size(1), x.stride(0)};
}

StepRows<float> out(const at::Tensor& x) {
  if (!x.defined()) return {nullptr, 0, 0};
  return {x.mutable_data_ptr<float>(), x.size(1), x.stride(0)};
}

int64_t time_of(const RecurrentWeights& weights, int64_t length, int64_t step) {
  return weights.reverse ? length - 1 - step : step;
}

// What a step starts from: the trace of the step before, or the first state.
at::Tensor before(const RecurrentWeights& weights, const at::Tensor& trace, const at::Tensor& first, int64_t step) {
  return step == 0 ? first : step_of(trace, time_of(weights, trace.size(1), step - 1));
}

}  // namespace

void recurrent_forward_by_steps(const Exec& exec, const RecurrentWeights& weights, RecurrentTensors& tensors) {
  const int64_t batch = tensors.x.size(0), length = tensors.x.size(1), units = weights.hidden_weight.size(1);
  const bool keeps = kernels::keeps_gates(weights.cell), lstm = weights.cell == Cell::lstm;
  const at::Tensor gates = at::linear(tensors.x, weights.input_weight, weights.input_bias);
  tensors.hidden = keeps ? at::empty({batch, length, units}, tensors.x.options()) : gates;
  if (keeps) tensors.gates = gates, tensors.state = at::empty_like(tensors.hidden);
  for (int64_t step = 0; step < length; ++step) {
    const int64_t time = time_of(weights, length, step);
    const at::Tensor hidden_before = before(weights, tensors.hidden, tensors.first_hidden, step);
    const at::Tensor state_before = lstm ? before(weights, tensors.state, tensors.first_cell, step) : at::Tensor();
    const at::Tensor recurrent = at::linear(hidden_before, weights.hidden_weight, weights.hidden_bias);
    kernels::cell_forward(exec, weights.cell, batch, in(recurrent), in(hidden_before), in(state_before),
                          out(step_of(gates, time)), out(step_of(tensors.state, time)),
                          out(step_of(tensors.hidden, time)));
  }
}

RecurrentGradients recurrent_backward_by_steps(const Exec& exec, const RecurrentWeights& weights,
                                               RecurrentTensors& tensors, const at::Tensor& hidden,
                                               const at::Tensor& last_hidden, const at::Tensor& last_cell,
                                               bool with_x) {
  const int64_t length = tensors.x.size(1);
  const bool lstm = weights.cell == Cell::lstm, gru = weights.cell == Cell::gru;
  const auto start = [&](const at::Tensor& given) {
    return given.defined() ? given.clone(at::MemoryFormat::Contiguous) : at::zeros_like(tensors.first_hidden);
  };
  RecurrentGradients made;
  made.gates = tensors.gates.defined() ? std::exchange(tensors.gates, {}) : at::empty_like(tensors.hidden);
  made.hidden_gates = gru ? at::empty_like(made.gates) : made.gates;
  at::Tensor of_hidden = start(last_hidden);
  if (lstm) made.first_cell = start(last_cell);
  for (int64_t step = length - 1; step >= 0; --step) {
    const int64_t time = time_of(weights, length, step);
    if (hidden.defined()) of_hidden = of_hidden.add_(step_of(hidden, time));
    const at::Tensor hidden_before = before(weights, tensors.hidden, tensors.first_hidden, step);
    const at::Tensor state_before = lstm ? before(weights, tensors.state, tensors.first_cell, step) : at::Tensor();
    kernels::cell_backward(exec, weights.cell, tensors.x.size(0), in(hidden_before), in(state_before),
                           in(step_of(tensors.state, time)), in(step_of(tensors.hidden, time)),
                           out(step_of(made.gates, time)), gru ? out(step_of(made.hidden_gates, time)) : out({}),
                           out(of_hidden), out(made.first_cell));
    of_hidden = of_hidden.addmm_(step_of(made.hidden_gates, time), weights.hidden_weight);
  }
  made.first_hidden = of_hidden;
  made.bias = made.gates.sum(1);
  made.hidden_bias = gru ? made.hidden_gates.sum(1) : made.bias;
  if (with_x) made.x = at::matmul(made.gates, weights.input_weight);
  return made;
}

}  // namespace sotto
