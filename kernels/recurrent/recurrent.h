#pragma once
#include "base/view.h"
#include "cuda/exec.h"

namespace sotto::kernels {

// The recurrences of torch.nn's LSTM, GRU and RNN. With a_t = W_ih x_t + b_ih and u_t = W_hh h_{t−1} + b_hh, whose rows
// come gate by gate:
//   lstm        i, f, o = σ(a + u), g = tanh(a + u) in the order i f g o; c_t = f c_{t−1} + i g, h_t = o tanh(c_t)
//   gru         r, z = σ(a + u), n = tanh(a_n + r u_n) in the order r z n; h_t = (1 − z) n + z h_{t−1}
//   tanh, relu  h_t = tanh(a + u), max(0, a + u)
enum class Cell { lstm, gru, tanh, relu };

constexpr int64_t gate_count(Cell cell) {
  return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1;
}

// Gates of the GRU and the LSTM are kept for the backward pass, and a state: c_t of the LSTM, u_n of the GRU.
constexpr bool keeps_gates(Cell cell) {
  return cell == Cell::lstm || cell == Cell::gru;
}

// One direction of one layer, for sequences of `length` rows. Rows of a sequence lie together, in order of time;
// `reverse` runs from the last to the first. G = gate_count(cell), h = hidden_weight.cols.
struct RecurrentLayer {
  Cell cell;
  int64_t batch, length;
  bool reverse;
  MatrixView<const float> input_weight;             // [G·h, d]
  MatrixView<const float> hidden_weight;            // [G·h, h]
  VectorView<const float> input_bias, hidden_bias;  // [G·h], or {nullptr, 0}
};

// What a forward pass leaves: hidden [batch·length, h], and where keeps_gates(cell): gates after their activation
// [batch·length, G·h] and state [batch·length, h]; else {nullptr, 0, 0}.
struct RecurrentTrace {
  MatrixView<float> hidden, gates, state;
};

// Where the loss's gradient comes from: of all h_t [batch·length, h], of the last step's h and of its c [batch, h].
// Each may be absent ({nullptr, 0, 0}).
struct RecurrentGradient {
  MatrixView<const float> hidden, last_hidden, last_cell;
};

// What a backward pass leaves. Gradients of a + u, gate by gate: the per-sample gradients are Σ_t gates_t x_tᵀ of W_ih
// and Σ_t hidden_gates_t h_{t−1}ᵀ of W_hh, Σ_t of either for the biases.
struct RecurrentResult {
  MatrixView<float> gates;         // [batch·length, G·h]; may be the trace's gates, which are then gone
  MatrixView<float> hidden_gates;  // gru: n's is r times that of `gates`; the others: {nullptr, 0, 0}
  MatrixView<float> bias;          // [batch, G·h]: Σ_t gates_t
  MatrixView<float> hidden_bias;   // gru: Σ_t hidden_gates_t; the others: {nullptr, 0, 0}
  MatrixView<float> x;             // [batch·length, d], or {nullptr, 0, 0} where nobody wants it
  MatrixView<float> first_hidden;  // [batch, h]
  MatrixView<float> first_cell;    // lstm: [batch, h]; the others: {nullptr, 0, 0}
};

// A whole layer on the CPU; on CUDA it is a product and a cell_forward a step, hence refused. x is [batch·length, d],
// first_hidden [batch, h]; first_cell is the LSTM's alone. A sequence's results depend on its own rows only, to the
// last bit, whatever the batch and the number of threads. Rounding: dot products of d + h terms in float32, and
// activations within kActivationError.
void recurrent_forward(const Exec& exec, const RecurrentLayer& layer, MatrixView<const float> x,
                       MatrixView<const float> first_hidden, MatrixView<const float> first_cell,
                       const RecurrentTrace& trace);

// The gradient of the same through all steps. `trace` is recurrent_forward's.
void recurrent_backward(const Exec& exec, const RecurrentLayer& layer, MatrixView<const float> first_hidden,
                        MatrixView<const float> first_cell, const RecurrentTrace& trace,
                        const RecurrentGradient& gradient, const RecurrentResult& result);

// A row a sequence, `stride` floats apart: one step of a trace is not contiguous.
template <class T>
struct StepRows {
  T* data;
  int64_t cols, stride;
};

// The elementwise part of one step of `batch` sequences, where a library makes the products: `gates` comes in as
// a_t [G·h] and leaves as what the trace keeps of them; `recurrent` is u_t [G·h]. state_before is the LSTM's alone,
// hidden_before the GRU's; `state` is what the trace keeps. What a cell does not have is {nullptr, 0, 0}; the RNN has
// `recurrent`, `gates` and `hidden`, which may be the same memory.
void cell_forward(const Exec& exec, Cell cell, int64_t batch, StepRows<const float> recurrent,
                  StepRows<const float> hidden_before, StepRows<const float> state_before, StepRows<float> gates,
                  StepRows<float> state, StepRows<float> hidden);

// Its gradient. `gates` comes in as the trace's (the RNN's as anything) and leaves as the gradient of a_t;
// hidden_gates, the GRU's alone, leaves as that of u_t. of_hidden comes in as the gradient of h_t and leaves as what of
// it reaches h_{t−1} beside the gates; of_cell, the LSTM's alone, comes in as the gradient of c_t and leaves as that of
// c_{t−1}.
void cell_backward(const Exec& exec, Cell cell, int64_t batch, StepRows<const float> hidden_before,
                   StepRows<const float> state_before, StepRows<const float> state, StepRows<const float> hidden,
                   StepRows<float> gates, StepRows<float> hidden_gates, StepRows<float> of_hidden,
                   StepRows<float> of_cell);

// The relative error of the CPU's σ and tanh; σ below −87 is 2⁻¹²⁵ instead of less.
constexpr double kActivationError = 6 * 0x1p-24;

}  // namespace sotto::kernels
