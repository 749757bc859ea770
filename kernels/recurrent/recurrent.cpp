#include "kernels/recurrent/recurrent.h"

#include "base/error.h"
#include "kernels/recurrent/recurrent_impl.h"

namespace sotto::kernels {
namespace {

template <class T>
void require_shape(const char* name, MatrixView<T> view, int64_t rows, int64_t cols) {
  require(view.rows == rows && view.cols == cols, name, " is ", view.rows, "x", view.cols, ", expected ", rows, "x",
          cols);
}

template <class T>
void require_shape_or_none(const char* name, MatrixView<T> view, int64_t rows, int64_t cols) {
  if (view.data || view.rows > 0) require_shape(name, view, rows, cols);
}

struct Sizes {
  int64_t batch, rows, inputs, units, gates;
};

Sizes check(const Exec& exec, const RecurrentLayer& layer, MatrixView<const float> first_hidden,
            MatrixView<const float> first_cell, const RecurrentTrace& trace) {
  require(!exec.on_cuda(), "a recurrent layer on CUDA is a matrix product and a cell_forward a step");
  require(layer.length >= 1, "length must be at least 1, got ", layer.length);
  require(layer.batch >= 0, "batch must be at least 0, got ", layer.batch);
  const int64_t units = layer.hidden_weight.cols, gates = gate_count(layer.cell) * units;
  require(units >= 1, "a recurrent layer needs at least 1 hidden unit, got ", units);
  require_shape("hidden_weight", layer.hidden_weight, gates, units);
  require_shape("input_weight", layer.input_weight, gates, layer.input_weight.cols);
  for (const VectorView<const float>& bias : {layer.input_bias, layer.hidden_bias})
    require(!bias.data || bias.size == gates, "a bias has ", bias.size, " entries, expected ", gates);
  const Sizes sizes{layer.batch, layer.batch * layer.length, layer.input_weight.cols, units, gates};
  require_shape("first_hidden", first_hidden, sizes.batch, units);
  if (layer.cell == Cell::lstm) require_shape("first_cell", first_cell, sizes.batch, units);
  require_shape("hidden", trace.hidden, sizes.rows, units);
  if (keeps_gates(layer.cell)) {
    require_shape("gates", trace.gates, sizes.rows, gates);
    require_shape("state", trace.state, sizes.rows, units);
  }
  return sizes;
}

}  // namespace

void recurrent_forward(const Exec& exec, const RecurrentLayer& layer, MatrixView<const float> x,
                       MatrixView<const float> first_hidden, MatrixView<const float> first_cell,
                       const RecurrentTrace& trace) {
  const Sizes sizes = check(exec, layer, first_hidden, first_cell, trace);
  require_shape("x", x, sizes.rows, sizes.inputs);
  recurrent_forward_cpu(exec, layer, x, first_hidden, first_cell, trace);
}

void recurrent_backward(const Exec& exec, const RecurrentLayer& layer, MatrixView<const float> first_hidden,
                        MatrixView<const float> first_cell, const RecurrentTrace& trace,
                        const RecurrentGradient& gradient, const RecurrentResult& result) {
  const Sizes sizes = check(exec, layer, first_hidden, first_cell, trace);
  require_shape_or_none("the gradient of hidden", gradient.hidden, sizes.rows, sizes.units);
  require_shape_or_none("the gradient of last_hidden", gradient.last_hidden, sizes.batch, sizes.units);
  require_shape_or_none("the gradient of last_cell", gradient.last_cell, sizes.batch, sizes.units);
  require_shape("the gradient of gates", result.gates, sizes.rows, sizes.gates);
  require_shape("the gradient of the bias", result.bias, sizes.batch, sizes.gates);
  require_shape_or_none("the gradient of x", result.x, sizes.rows, sizes.inputs);
  require_shape("the gradient of first_hidden", result.first_hidden, sizes.batch, sizes.units);
  if (layer.cell == Cell::lstm)
    require_shape("the gradient of first_cell", result.first_cell, sizes.batch, sizes.units);
  if (layer.cell == Cell::gru) {
    require_shape("hidden_gates", result.hidden_gates, sizes.rows, sizes.gates);
    require_shape("the gradient of the hidden bias", result.hidden_bias, sizes.batch, sizes.gates);
  }
  recurrent_backward_cpu(exec, layer, first_hidden, first_cell, trace, gradient, result);
}

namespace {

template <class T>
void require_rows(const char* name, bool needed, StepRows<T> rows, int64_t batch, int64_t cols) {
  require(!needed || rows.cols == cols, name, " has ", rows.cols, " columns, expected ", cols);
  require(!needed || batch < 2 || rows.stride >= cols, name, ": rows of ", cols, " columns overlap at a stride of ",
          rows.stride);
}

}  // namespace

void cell_forward(const Exec& exec, Cell cell, int64_t batch, StepRows<const float> recurrent,
                  StepRows<const float> hidden_before, StepRows<const float> state_before, StepRows<float> gates,
                  StepRows<float> state, StepRows<float> hidden) {
  require(batch >= 0, "batch must be at least 0, got ", batch);
  const int64_t units = hidden.cols, columns = gate_count(cell) * units;
  require_rows("recurrent", true, recurrent, batch, columns);
  require_rows("gates", true, gates, batch, columns);
  require_rows("hidden", true, hidden, batch, units);
  require_rows("hidden_before", cell == Cell::gru, hidden_before, batch, units);
  require_rows("state_before", cell == Cell::lstm, state_before, batch, units);
  require_rows("state", keeps_gates(cell), state, batch, units);
  const ForwardStep step{cell, batch, units, recurrent, hidden_before, state_before, gates, state, hidden};
  if (exec.on_cuda()) return cell_forward_cuda(exec, step);
  cell_forward_cpu(exec, step);
}

void cell_backward(const Exec& exec, Cell cell, int64_t batch, StepRows<const float> hidden_before,
                   StepRows<const float> state_before, StepRows<const float> state, StepRows<const float> hidden,
                   StepRows<float> gates, StepRows<float> hidden_gates, StepRows<float> of_hidden,
                   StepRows<float> of_cell) {
  require(batch >= 0, "batch must be at least 0, got ", batch);
  const int64_t units = of_hidden.cols, columns = gate_count(cell) * units;
  require_rows("gates", true, gates, batch, columns);
  require_rows("of_hidden", true, of_hidden, batch, units);
  require_rows("hidden", !keeps_gates(cell), hidden, batch, units);
  require_rows("hidden_before", cell == Cell::gru, hidden_before, batch, units);
  require_rows("state_before", cell == Cell::lstm, state_before, batch, units);
  require_rows("state", keeps_gates(cell), state, batch, units);
  require_rows("hidden_gates", cell == Cell::gru, hidden_gates, batch, columns);
  require_rows("of_cell", cell == Cell::lstm, of_cell, batch, units);
  const BackwardStep step{cell,   batch, units,        hidden_before, state_before, state,
                          hidden, gates, hidden_gates, of_hidden,     of_cell};
  if (exec.on_cuda()) return cell_backward_cuda(exec, step);
  cell_backward_cpu(exec, step);
}

}  // namespace sotto::kernels
