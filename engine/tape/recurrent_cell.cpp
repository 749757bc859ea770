#include "engine/tape/recorder.h"

// A cell is linear layers and elementwise operations, and computed as such: at::linear is dispatched again, and its
// rule takes the weights.
namespace sotto {
namespace {

using OptionalTensor = const std::optional<at::Tensor>&;

bool owns(std::initializer_list<at::Tensor> tensors) {
  const RecorderPointer recorder = current_recorder();
  for (const at::Tensor& tensor : tensors)
    if (recorder && recorder->find(tensor) >= 0) return true;
  return false;
}

bool owns(const at::Tensor& w_ih, const at::Tensor& w_hh, OptionalTensor b_ih, OptionalTensor b_hh) {
  return owns({w_ih, w_hh, b_ih.value_or(at::Tensor()), b_hh.value_or(at::Tensor())});
}

std::tuple<at::Tensor, at::Tensor> captured_lstm_cell(const at::Tensor& input, at::TensorList states,
                                                      const at::Tensor& w_ih, const at::Tensor& w_hh,
                                                      OptionalTensor b_ih, OptionalTensor b_hh) {
  if (!owns(w_ih, w_hh, b_ih, b_hh)) {
    const CaptureOff off(kCaptureKey);
    return at::lstm_cell(input, states, w_ih, w_hh, b_ih, b_hh);
  }
  const at::Tensor from_input = at::linear(input, w_ih, b_ih), from_hidden = at::linear(states[0], w_hh, b_hh);
  const CaptureOff off(kCaptureKey);
  const auto gates = at::add(from_input, from_hidden).chunk(4, -1);
  const at::Tensor c = gates[1].sigmoid() * states[1] + gates[0].sigmoid() * gates[2].tanh();
  return {gates[3].sigmoid() * c.tanh(), c};
}

at::Tensor captured_gru_cell(const at::Tensor& input, const at::Tensor& state, const at::Tensor& w_ih,
                             const at::Tensor& w_hh, OptionalTensor b_ih, OptionalTensor b_hh) {
  if (!owns(w_ih, w_hh, b_ih, b_hh)) {
    const CaptureOff off(kCaptureKey);
    return at::gru_cell(input, state, w_ih, w_hh, b_ih, b_hh);
  }
  const at::Tensor from_input = at::linear(input, w_ih, b_ih), from_hidden = at::linear(state, w_hh, b_hh);
  const CaptureOff off(kCaptureKey);
  const auto a = from_input.chunk(3, -1), u = from_hidden.chunk(3, -1);
  const at::Tensor r = (a[0] + u[0]).sigmoid(), z = (a[1] + u[1]).sigmoid(), n = (a[2] + r * u[2]).tanh();
  return (1 - z) * n + z * state;
}

using CellOperator = at::Tensor (*)(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                    OptionalTensor, OptionalTensor);

template <CellOperator kOperator, at::Tensor (*kActivation)(const at::Tensor&)>
at::Tensor captured_rnn_cell(const at::Tensor& input, const at::Tensor& state, const at::Tensor& w_ih,
                             const at::Tensor& w_hh, OptionalTensor b_ih, OptionalTensor b_hh) {
  if (!owns(w_ih, w_hh, b_ih, b_hh)) {
    const CaptureOff off(kCaptureKey);
    return kOperator(input, state, w_ih, w_hh, b_ih, b_hh);
  }
  const at::Tensor from_input = at::linear(input, w_ih, b_ih), from_hidden = at::linear(state, w_hh, b_hh);
  const CaptureOff off(kCaptureKey);
  return kActivation(at::add(from_input, from_hidden));
}

}  // namespace

void register_recurrent_cell_rule(torch::Library& library) {
  library.impl("lstm_cell", &captured_lstm_cell);
  library.impl("gru_cell", &captured_gru_cell);
  library.impl("rnn_tanh_cell", &captured_rnn_cell<at::rnn_tanh_cell, at::tanh>);
  library.impl("rnn_relu_cell", &captured_rnn_cell<at::rnn_relu_cell, at::relu>);
}

}  // namespace sotto
