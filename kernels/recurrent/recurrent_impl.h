#pragma once
#include "base/instruction_set.h"
#include "kernels/recurrent/recurrent.h"

#ifdef __CUDACC__
#define SOTTO_CELL __host__ __device__ inline
#else
#define SOTTO_CELL inline __attribute__((always_inline))
#endif

namespace sotto::kernels {

// The elementwise parts of the cells, shared by the backends: T is a float or a vector of floats, Math has
// sigmoid(T&) and tanh(T&) in place. Each is one LibTorch-style step; the names are those of recurrent.h.

template <class Math, class T>
SOTTO_CELL void lstm_forward(T& i, T& f, T& g, T& o, const T& c_before, T& c, T& h) {
  Math::sigmoid(i);
  Math::sigmoid(f);
  Math::tanh(g);
  Math::sigmoid(o);
  c = f * c_before + i * g;
  T squashed = c;
  Math::tanh(squashed);
  h = o * squashed;
}

// dc comes in as the gradient of c_t from later steps and leaves as that of c_{t−1}; i f g o become their gradients.
template <class Math, class T>
SOTTO_CELL void lstm_backward(T& i, T& f, T& g, T& o, const T& c_before, const T& c, const T& dh, T& dc) {
  T squashed = c;
  Math::tanh(squashed);
  const T of_c = dc + dh * o * (1.0f - squashed * squashed);
  dc = of_c * f;
  const T of_i = of_c * g * i * (1.0f - i);
  g = of_c * i * (1.0f - g * g);
  i = of_i;
  f = of_c * c_before * f * (1.0f - f);
  o = dh * squashed * o * (1.0f - o);
}

// n comes in as a_n, u as u_n.
template <class Math, class T>
SOTTO_CELL void gru_forward(T& r, T& z, T& n, const T& u, const T& h_before, T& h) {
  Math::sigmoid(r);
  Math::sigmoid(z);
  n = n + r * u;
  Math::tanh(n);
  h = (1.0f - z) * n + z * h_before;
}

// r z n become their gradients and u that of u_n; dh leaves as the part of h_{t−1}'s gradient that passes by z.
template <class T>
SOTTO_CELL void gru_backward(T& r, T& z, T& n, T& u, const T& h_before, T& dh) {
  const T of_n = dh * (1.0f - z) * (1.0f - n * n);
  const T of_z = dh * (h_before - n) * z * (1.0f - z);
  dh = dh * z;
  const T of_r = of_n * u * r * (1.0f - r);
  u = of_n * r;
  r = of_r;
  z = of_z;
  n = of_n;
}

// A NaN must stay one, so that its sample is found out.
template <class Math, class T>
SOTTO_CELL void rnn_forward(bool relu, T& h) {
  if (relu)
    h = h < 0.0f ? T{} : h;
  else
    Math::tanh(h);
}

template <class T>
SOTTO_CELL void rnn_backward(bool relu, const T& h, T& dh) {
  if (relu)
    dh = h <= 0.0f ? T{} : dh;
  else
    dh = dh * (1.0f - h * h);
}

// A step's rows, by reference in the order of cell_forward and cell_backward.
struct ForwardStep {
  Cell cell;
  int64_t batch, units;
  StepRows<const float> recurrent, hidden_before, state_before;
  StepRows<float> gates, state, hidden;
};
struct BackwardStep {
  Cell cell;
  int64_t batch, units;
  StepRows<const float> hidden_before, state_before, state, hidden;
  StepRows<float> gates, hidden_gates, of_hidden, of_cell;
};

// One element, or one vector of them from `unit` on: `Lane` reads and writes at row i, column j.
template <class Math, class T, class Lane>
SOTTO_CELL void forward_at(const ForwardStep& step, int64_t i, int64_t unit, const Lane& lane) {
  const int64_t h = step.units;
  T first, second, third, fourth, u, before, state, hidden;
  lane.load(first, step.gates, i, unit);
  lane.load(u, step.recurrent, i, unit);
  first = first + u;
  if (step.cell == Cell::tanh || step.cell == Cell::relu) {
    rnn_forward<Math>(step.cell == Cell::relu, first);
    lane.store(first, step.hidden, i, unit);
    return;
  }
  lane.load(second, step.gates, i, h + unit);
  lane.load(u, step.recurrent, i, h + unit);
  second = second + u;
  lane.load(third, step.gates, i, 2 * h + unit);
  lane.load(u, step.recurrent, i, 2 * h + unit);
  if (step.cell == Cell::lstm) {
    third = third + u;
    lane.load(fourth, step.gates, i, 3 * h + unit);
    lane.load(u, step.recurrent, i, 3 * h + unit);
    fourth = fourth + u;
    lane.load(before, step.state_before, i, unit);
    lstm_forward<Math>(first, second, third, fourth, before, state, hidden);
    lane.store(fourth, step.gates, i, 3 * h + unit);
  } else {
    state = u;
    lane.load(before, step.hidden_before, i, unit);
    gru_forward<Math>(first, second, third, u, before, hidden);
  }
  lane.store(first, step.gates, i, unit);
  lane.store(second, step.gates, i, h + unit);
  lane.store(third, step.gates, i, 2 * h + unit);
  lane.store(state, step.state, i, unit);
  lane.store(hidden, step.hidden, i, unit);
}

template <class Math, class T, class Lane>
SOTTO_CELL void backward_at(const BackwardStep& step, int64_t i, int64_t unit, const Lane& lane) {
  const int64_t h = step.units;
  T first, second, third, fourth, state, before, of_hidden, of_cell, hidden;
  const T none = T{};
  lane.load(of_hidden, step.of_hidden, i, unit);
  if (step.cell == Cell::tanh || step.cell == Cell::relu) {
    lane.load(hidden, step.hidden, i, unit);
    rnn_backward(step.cell == Cell::relu, hidden, of_hidden);
    lane.store(of_hidden, step.gates, i, unit);
    lane.store(none, step.of_hidden, i, unit);
    return;
  }
  lane.load(first, step.gates, i, unit);
  lane.load(second, step.gates, i, h + unit);
  lane.load(third, step.gates, i, 2 * h + unit);
  lane.load(state, step.state, i, unit);
  if (step.cell == Cell::lstm) {
    lane.load(fourth, step.gates, i, 3 * h + unit);
    lane.load(before, step.state_before, i, unit);
    lane.load(of_cell, step.of_cell, i, unit);
    lstm_backward<Math>(first, second, third, fourth, before, state, of_hidden, of_cell);
    lane.store(fourth, step.gates, i, 3 * h + unit);
    lane.store(of_cell, step.of_cell, i, unit);
    lane.store(none, step.of_hidden, i, unit);
  } else {
    lane.load(before, step.hidden_before, i, unit);
    gru_backward(first, second, third, state, before, of_hidden);
    lane.store(first, step.hidden_gates, i, unit);
    lane.store(second, step.hidden_gates, i, h + unit);
    lane.store(state, step.hidden_gates, i, 2 * h + unit);
    lane.store(of_hidden, step.of_hidden, i, unit);
  }
  lane.store(first, step.gates, i, unit);
  lane.store(second, step.gates, i, h + unit);
  lane.store(third, step.gates, i, 2 * h + unit);
}

void cell_forward_cpu(const Exec& exec, const ForwardStep& step);
void cell_backward_cpu(const Exec& exec, const BackwardStep& step);
void cell_forward_cuda(const Exec& exec, const ForwardStep& step);
void cell_backward_cuda(const Exec& exec, const BackwardStep& step);

void recurrent_forward_cpu(const Exec& exec, const RecurrentLayer& layer, MatrixView<const float> x,
                           MatrixView<const float> first_hidden, MatrixView<const float> first_cell,
                           const RecurrentTrace& trace, InstructionSet set = best_instruction_set());
void recurrent_backward_cpu(const Exec& exec, const RecurrentLayer& layer, MatrixView<const float> first_hidden,
                            MatrixView<const float> first_cell, const RecurrentTrace& trace,
                            const RecurrentGradient& gradient, const RecurrentResult& result,
                            InstructionSet set = best_instruction_set());

}  // namespace sotto::kernels
