#include "base/parallel.h"
#include "kernels/recurrent/panels.h"
#include "kernels/recurrent/recurrent_impl.h"

// Each thread takes its own samples from their last step to their first. A step is the cells' elementwise part, which
// makes the gradients of the gates, and their product with W_hh, which makes the gradient of the hidden state before.
namespace sotto::kernels {
namespace {

struct Job {
  const RecurrentLayer& layer;
  const float *first_hidden, *first_cell;
  const RecurrentTrace& trace;
  const RecurrentGradient& gradient;
  const RecurrentResult& result;
  int64_t inputs, units, gates;  // gates: G·h
  InstructionSet set;
  const float *hidden_panels, *input_panels;  // W_hh and W_ih, packed
};

// A thread's rows: the gradient of h and of c, the part of h's that passes by the gates, and the gates' own.
struct Rows {
  float *hidden, *cell, *passing, *gates;
  int64_t stride;  // of `gates`; the others are `units` apart
};

// panels[panel][k][column] = matrix[k][columns of the panel], 0 past the last.
void pack(MatrixView<const float> matrix, int64_t panel_columns, float* panels, int64_t begin, int64_t end) {
  for (int64_t panel = begin; panel < end; ++panel)
    for (int64_t k = 0; k < matrix.rows; ++k) {
      float* out = panels + (panel * matrix.rows + k) * panel_columns;
      const int64_t first = panel * panel_columns, count = std::min(panel_columns, matrix.cols - first);
      std::memcpy(out, matrix.data + k * matrix.cols + first, static_cast<size_t>(count) * sizeof(float));
      std::fill(out + count, out + panel_columns, 0.0f);
    }
}

template <class V>
SOTTO_INLINE void add_to(const V& v, float* sum, int64_t count) {
  V total;
  load(total, sum, count);
  total = total + v;
  store(total, sum, count);
}

// The gradient of one gate of one vector of units: into the result, the product's row, and the bias.
template <class V>
SOTTO_INLINE void put_gate(const V& v, float* gates, float* row, float* bias, int64_t count) {
  store(v, gates, count);
  if (row) store(v, row, count);
  add_to(v, bias, count);
}

template <Cell kCell, class V>
SOTTO_INLINE void take_step(const Job& job, const Rows& rows, int64_t sample, int64_t m, int64_t step) {
  const int64_t units = job.units, length = job.layer.length;
  const int64_t time = job.layer.reverse ? length - 1 - step : step;
  const int64_t place = sample * length + time, before = job.layer.reverse ? place + 1 : place - 1;
  const float* const given = job.gradient.hidden.data;
  for (int64_t unit = 0; unit < units; unit += kWidth<V>) {
    const int64_t count = units - unit;
    float* const gates = job.result.gates.data + place * job.gates + unit;
    float* const bias = job.result.bias.data + sample * job.gates + unit;
    float* const row = rows.gates + m * rows.stride + unit;
    V dh;
    load(dh, rows.hidden + m * units + unit, count);
    if (given) {
      V more;
      load(more, given + place * units + unit, count);
      dh = dh + more;
    }
    if constexpr (!keeps_gates(kCell)) {
      V h;
      load(h, job.trace.hidden.data + place * units + unit, count);
      rnn_backward(kCell == Cell::relu, h, dh);
      put_gate(dh, gates, row, bias, count);
    } else {
      const float* const kept = job.trace.gates.data + place * job.gates + unit;
      const float* const state = job.trace.state.data;
      const float* const h_before =
          step > 0 ? job.trace.hidden.data + before * units : job.first_hidden + sample * units;
      V first, second, third, old, now;
      load(first, kept, count);
      load(second, kept + units, count);
      load(third, kept + 2 * units, count);
      load(now, state + place * units + unit, count);
      if constexpr (kCell == Cell::lstm) {
        V o, dc;
        load(o, kept + 3 * units, count);
        load(old, step > 0 ? state + before * units + unit : job.first_cell + sample * units + unit, count);
        load(dc, rows.cell + m * units + unit, count);
        lstm_backward<VectorMath<V>>(first, second, third, o, old, now, dh, dc);
        store(dc, rows.cell + m * units + unit, count);
        put_gate(o, gates + 3 * units, row + 3 * units, bias + 3 * units, count);
        put_gate(third, gates + 2 * units, row + 2 * units, bias + 2 * units, count);
      } else {
        load(old, h_before + unit, count);
        gru_backward(first, second, third, now, old, dh);
        store(dh, rows.passing + m * units + unit, count);
        put_gate(third, gates + 2 * units, nullptr, bias + 2 * units, count);
        float* const hidden_gates = job.result.hidden_gates.data + place * job.gates + unit;
        float* const hidden_bias = job.result.hidden_bias.data + sample * job.gates + unit;
        put_gate(now, hidden_gates + 2 * units, row + 2 * units, hidden_bias + 2 * units, count);
        put_gate(first, hidden_gates, row, hidden_bias, count);
        put_gate(second, hidden_gates + units, row + units, hidden_bias + units, count);
      }
      put_gate(first, gates, row, bias, count);
      put_gate(second, gates + units, row + units, bias + units, count);
    }
  }
}

template <Cell kCell, class V>
SOTTO_INLINE void run_block(const Job& job, int64_t begin, int64_t end, const Rows& rows) {
  const int64_t units = job.units, inputs = job.inputs, length = job.layer.length, samples = end - begin;
  for (int64_t step = length - 1; step >= 0; --step) {
    for (int64_t i = begin; i < end; ++i) take_step<kCell, V>(job, rows, i, i - begin, step);
    multiply_panels<V>(
        samples, job.gates, rows.gates, rows.stride, job.hidden_panels,
        units, [&](int64_t m, int64_t column, int64_t count, V & product) __attribute__((always_inline)) {
          if constexpr (kCell == Cell::gru) {
            V passing;
            load(passing, rows.passing + m * units + column, count);
            product = product + passing;
          }
          store(product, rows.hidden + m * units + column, count);
        });
    if (!job.result.x.data) continue;
    const int64_t time = job.layer.reverse ? length - 1 - step : step, first = begin * length + time;
    // The GRU's rows hold hidden_gates, and x goes with the others.
    const float* const gates = kCell == Cell::gru ? job.result.gates.data + first * job.gates : rows.gates;
    multiply_panels<V>(
        samples, job.gates, gates, kCell == Cell::gru ? length * job.gates : rows.stride, job.input_panels,
        inputs, [&](int64_t m, int64_t column, int64_t count, V & product) __attribute__((always_inline)) {
          store(product, job.result.x.data + (first + m * length) * inputs + column, count);
        });
  }
}

struct RunCell {
  template <class V>
  static SOTTO_INLINE void run(const Job& job, int64_t begin, int64_t end, const Rows& rows) {
    switch (job.layer.cell) {
      case Cell::lstm:
        return run_block<Cell::lstm, V>(job, begin, end, rows);
      case Cell::gru:
        return run_block<Cell::gru, V>(job, begin, end, rows);
      case Cell::tanh:
        return run_block<Cell::tanh, V>(job, begin, end, rows);
      case Cell::relu:
        return run_block<Cell::relu, V>(job, begin, end, rows);
    }
  }
};

void run_samples(const Job& job, int64_t begin, int64_t end) {
  thread_local std::vector<float> mine;
  const int64_t stride = row_stride(job.gates), units = job.units;
  float* const scratch = scratch_of(mine, kBlockSamples * (3 * units + stride));
  const Rows rows{scratch, scratch + kBlockSamples * units, scratch + 2 * kBlockSamples * units,
                  scratch + 3 * kBlockSamples * units, stride};
  for (int64_t i = begin; i < end; i += kBlockSamples) {
    const int64_t last = std::min(i + kBlockSamples, end), floats = (last - i) * units;
    const auto start = [&](float* row, const float* given) {
      if (given)
        std::copy_n(given + i * units, floats, row);
      else
        std::fill_n(row, floats, 0.0f);
    };
    start(rows.hidden, job.gradient.last_hidden.data);
    start(rows.cell, job.gradient.last_cell.data);
    std::fill_n(job.result.bias.data + i * job.gates, (last - i) * job.gates, 0.0f);
    if (job.result.hidden_bias.data)
      std::fill_n(job.result.hidden_bias.data + i * job.gates, (last - i) * job.gates, 0.0f);
    run_on<RunCell>(job.set, job, i, last, rows);
    std::copy_n(rows.hidden, floats, job.result.first_hidden.data + i * units);
    if (job.result.first_cell.data) std::copy_n(rows.cell, floats, job.result.first_cell.data + i * units);
  }
}

}  // namespace

void recurrent_backward_cpu(const Exec& exec, const RecurrentLayer& layer, MatrixView<const float> first_hidden,
                            MatrixView<const float> first_cell, const RecurrentTrace& trace,
                            const RecurrentGradient& gradient, const RecurrentResult& result, InstructionSet set) {
  const int64_t panel_columns = kTileVectors * (set == InstructionSet::avx512 ? 16 : 8);
  const int64_t inputs = layer.input_weight.cols, units = layer.hidden_weight.cols, gates = layer.hidden_weight.rows;
  const auto panel_count = [&](int64_t columns) { return (columns + panel_columns - 1) / panel_columns; };
  const int64_t hidden_panels = panel_count(units), input_panels = result.x.data ? panel_count(inputs) : 0;
  thread_local std::vector<float> packed;
  float* const hidden = scratch_of(packed, (hidden_panels + input_panels) * gates * panel_columns);
  float* const input = hidden + hidden_panels * gates * panel_columns;
  parallel_for(exec.threads(), hidden_panels, 1,
               [&](int64_t begin, int64_t end) { pack(layer.hidden_weight, panel_columns, hidden, begin, end); });
  parallel_for(exec.threads(), input_panels, 1,
               [&](int64_t begin, int64_t end) { pack(layer.input_weight, panel_columns, input, begin, end); });
  const Job job{layer, first_hidden.data, first_cell.data, trace, gradient, result, inputs, units, gates, set, hidden,
                input};
  parallel_for(exec.threads(), layer.batch, 1, [&](int64_t begin, int64_t end) { run_samples(job, begin, end); });
}

}  // namespace sotto::kernels
