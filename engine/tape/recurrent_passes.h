#pragma once
#include "cuda/exec.h"
#include "engine/torch.h"
#include "kernels/recurrent/recurrent.h"

namespace sotto {

// One direction of one recurrent layer (kernels/recurrent/recurrent.h). Biases may be undefined.
struct RecurrentWeights {
  kernels::Cell cell;
  bool reverse;
  at::Tensor input_weight, hidden_weight, input_bias, hidden_bias;
};

// What the forward pass reads and leaves, sequences first: x [N, T, d], states [N, h], hidden [N, T, h]. What the cell
// does not have is undefined.
struct RecurrentTensors {
  at::Tensor x, first_hidden, first_cell;
  at::Tensor hidden, gates, state;
};

// Fills hidden, gates and state.
void recurrent_forward(const Exec& exec, const RecurrentWeights& weights, RecurrentTensors& tensors);

// gates and hidden_gates are [N, T, G·h], the same tensor but for the GRU; so are bias and hidden_bias [N, G·h]. x is
// undefined unless asked for.
struct RecurrentGradients {
  at::Tensor gates, hidden_gates, bias, hidden_bias, x, first_hidden, first_cell;
};

// Of the gradients of hidden, of the last step's hidden and of its cell; each may be undefined. Uses up tensors.gates.
RecurrentGradients recurrent_backward(const Exec& exec, const RecurrentWeights& weights, RecurrentTensors& tensors,
                                      const at::Tensor& hidden, const at::Tensor& last_hidden,
                                      const at::Tensor& last_cell, bool with_x);

// The same a step at a time, with LibTorch's matrix products: what CUDA does, and any device can.
void recurrent_forward_by_steps(const Exec& exec, const RecurrentWeights& weights, RecurrentTensors& tensors);
RecurrentGradients recurrent_backward_by_steps(const Exec& exec, const RecurrentWeights& weights,
                                               RecurrentTensors& tensors, const at::Tensor& hidden,
                                               const at::Tensor& last_hidden, const at::Tensor& last_cell, bool with_x);

// h_{t−1} [N, T, h] of every step.
at::Tensor hidden_before(const RecurrentWeights& weights, const RecurrentTensors& tensors);

}  // namespace sotto
