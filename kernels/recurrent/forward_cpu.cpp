#include "base/parallel.h"
#include "kernels/recurrent/panels.h"
#include "kernels/recurrent/recurrent_impl.h"

// Each thread takes all steps of its own samples, with no barrier. At a step, a tile of samples times the weights of
// one vector of units gives all gates of those units, which become c and h while they are in registers.
namespace sotto::kernels {
namespace {

struct Job {
  const RecurrentLayer& layer;
  const float *x, *first_hidden, *first_cell;
  const RecurrentTrace& trace;
  int64_t inputs, units;
  float *panels, *biases;  // packed
  int64_t vectors;         // a panel's: the gates of a vector of units, or 4 vectors of units where there is one gate
  InstructionSet set;
};

// The weight row of a panel's column, or −1 past the last.
int64_t weight_row(const Job& job, int64_t width, int64_t panel, int64_t vector, int64_t lane) {
  const bool gates = keeps_gates(job.layer.cell);
  const int64_t unit = gates ? panel * width + lane : (panel * job.vectors + vector) * width + lane;
  if (unit >= job.units) return -1;
  return gates ? vector * job.units + unit : unit;
}

// panels[panel][k][vector][lane]: first the rows for x, then those for h. biases[panel][0..4): those of the gates, and
// for the GRU b_hn as the fourth, since r multiplies it.
void pack(const Job& job, int64_t width, int64_t begin, int64_t end) {
  const int64_t depth = job.inputs + job.units, columns = job.vectors * width;
  const RecurrentLayer& layer = job.layer;
  const auto bias = [](VectorView<const float> b, int64_t row) { return b.data && row >= 0 ? b.data[row] : 0.0f; };
  for (int64_t panel = begin; panel < end; ++panel)
    for (int64_t vector = 0; vector < job.vectors; ++vector)
      for (int64_t lane = 0; lane < width; ++lane) {
        const int64_t row = weight_row(job, width, panel, vector, lane);
        float* out = job.panels + panel * depth * columns + vector * width + lane;
        for (int64_t k = 0; k < job.inputs; ++k)
          out[k * columns] = row < 0 ? 0 : layer.input_weight.data[row * job.inputs + k];
        for (int64_t k = 0; k < job.units; ++k)
          out[(job.inputs + k) * columns] = row < 0 ? 0 : layer.hidden_weight.data[row * job.units + k];
        float* biases = job.biases + (panel * kTileVectors + vector) * width + lane;
        const bool apart = layer.cell == Cell::gru && vector == 2;
        *biases = bias(layer.input_bias, row) + (apart ? 0.0f : bias(layer.hidden_bias, row));
        if (apart) biases[width] = bias(layer.hidden_bias, row);
      }
}

// One step of one sample.
struct Place {
  int64_t row;  // of the trace
  const float *hidden_before, *state_before;
};

Place place_of(const Job& job, int64_t sample, int64_t step) {
  const int64_t length = job.layer.length, time = job.layer.reverse ? length - 1 - step : step;
  const int64_t row = sample * length + time, before = job.layer.reverse ? row + 1 : row - 1;
  const float* state = job.trace.state.data;
  if (step > 0) return {row, job.trace.hidden.data + before * job.units, state ? state + before * job.units : nullptr};
  const float* cell = job.first_cell ? job.first_cell + sample * job.units : nullptr;
  return {row, job.first_hidden + sample * job.units, cell};
}

// The cell of the units of one panel. `sums` is W_ih x + W_hh h; the GRU has W_ih x in `sums` and W_hh h in
// `recurrent`.
template <Cell kCell, class V>
SOTTO_INLINE void take_step(const Job& job, const Place& place, int64_t panel, V* sums, const V* recurrent) {
  constexpr int64_t width = kWidth<V>;
  const float* bias = job.biases + panel * kTileVectors * width;
  if constexpr (!keeps_gates(kCell)) {
    for (int64_t v = 0; v < kTileVectors; ++v) {
      const int64_t unit = (panel * kTileVectors + v) * width;
      V b;
      load(b, bias + v * width, width);
      V h = sums[v] + b;
      rnn_forward<VectorMath<V>>(kCell == Cell::relu, h);
      store(h, job.trace.hidden.data + place.row * job.units + unit, job.units - unit);
    }
    return;
  }
  const int64_t unit = panel * width, count = job.units - unit;
  float* gates = job.trace.gates.data + place.row * gate_count(kCell) * job.units + unit;
  float* state = job.trace.state.data + place.row * job.units + unit;
  float* hidden = job.trace.hidden.data + place.row * job.units + unit;
  V h;
  if constexpr (kCell == Cell::lstm) {
    V b[4], before, c;
    for (int64_t v = 0; v < 4; ++v) load(b[v], bias + v * width, width);
    V i = sums[0] + b[0], f = sums[1] + b[1], g = sums[2] + b[2], o = sums[3] + b[3];
    load(before, place.state_before + unit, count);
    lstm_forward<VectorMath<V>>(i, f, g, o, before, c, h);
    store(i, gates, count);
    store(f, gates + job.units, count);
    store(g, gates + 2 * job.units, count);
    store(o, gates + 3 * job.units, count);
    store(c, state, count);
  } else {
    V b[4], before;
    for (int64_t v = 0; v < 4; ++v) load(b[v], bias + v * width, width);
    V r = sums[0] + recurrent[0] + b[0], z = sums[1] + recurrent[1] + b[1], n = sums[2] + b[2];
    const V u = recurrent[2] + b[3];
    load(before, place.hidden_before + unit, count);
    gru_forward<VectorMath<V>>(r, z, n, u, before, h);
    store(r, gates, count);
    store(z, gates + job.units, count);
    store(n, gates + 2 * job.units, count);
    store(u, state, count);
  }
  store(h, hidden, count);
}

template <int Vectors>
struct MultiplyTile {
  template <class V>
  static SOTTO_INLINE void run(int64_t rows, int64_t depth, const float* x, int64_t stride, const float* panel,
                               void* products) {
    multiply_tile<Vectors>(rows, depth, x, stride, panel, static_cast<V*>(products));
  }
};

// Where there are 16 registers, a function of its own: beside the activations, it would leave some to their constants.
template <int Vectors, class V>
SOTTO_INLINE void multiply_apart(const Job& job, int64_t rows, int64_t depth, const float* x, int64_t stride,
                                 const float* panel, V* products) {
  if constexpr (kWidth<V> == 16)
    multiply_tile<Vectors>(rows, depth, x, stride, panel, products);
  else
    code_on<MultiplyTile<Vectors>, int64_t, int64_t, const float*, int64_t, const float*, void*>(job.set)(
        rows, depth, x, stride, panel, products);
}

template <Cell kCell, class V>
SOTTO_INLINE void run_block(const Job& job, int64_t begin, int64_t end, float* rows) {
  constexpr int kVectors = keeps_gates(kCell) ? gate_count(kCell) : kTileVectors;
  constexpr int64_t width = kWidth<V>;
  const int64_t inputs = job.inputs, units = job.units, depth = inputs + units, stride = row_stride(depth);
  const int64_t panel_units = keeps_gates(kCell) ? width : kTileVectors * width;
  const size_t input_bytes = static_cast<size_t>(inputs) * sizeof(float);
  const size_t unit_bytes = static_cast<size_t>(units) * sizeof(float);
  for (int64_t step = 0; step < job.layer.length; ++step) {
    for (int64_t i = begin; i < end; ++i) {
      const Place place = place_of(job, i, step);
      float* row = rows + (i - begin) * stride;
      if (inputs > 0) std::memcpy(row, job.x + place.row * inputs, input_bytes);
      std::memcpy(row + inputs, place.hidden_before, unit_bytes);
    }
    for (int64_t unit = 0, panel = 0; unit < units; unit += panel_units, ++panel)
      for (int64_t i = begin; i < end; i += kTileRows<V>) {
        const int64_t count = std::min(kTileRows<V>, end - i);
        const float* x = rows + (i - begin) * stride;
        const float* weights = job.panels + panel * depth * kVectors * width;
        V sums[kTileRows<V> * kVectors], recurrent[kTileRows<V> * kVectors];
        if constexpr (kCell == Cell::gru) {
          multiply_apart<kVectors>(job, count, inputs, x, stride, weights, sums);
          multiply_apart<kVectors>(job, count, units, x + inputs, stride, weights + inputs * kVectors * width,
                                   recurrent);
        } else {
          multiply_apart<kVectors>(job, count, depth, x, stride, weights, sums);
        }
        for (int64_t m = 0; m < count; ++m)
          take_step<kCell, V>(job, place_of(job, i + m, step), panel, sums + m * kVectors, recurrent + m * kVectors);
      }
  }
}

struct RunCell {
  template <class V>
  static SOTTO_INLINE void run(const Job& job, int64_t begin, int64_t end, float* rows) {
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

}  // namespace

void recurrent_forward_cpu(const Exec& exec, const RecurrentLayer& layer, MatrixView<const float> x,
                           MatrixView<const float> first_hidden, MatrixView<const float> first_cell,
                           const RecurrentTrace& trace, InstructionSet set) {
  const int64_t width = set == InstructionSet::avx512 ? 16 : 8, inputs = x.cols, units = layer.hidden_weight.cols;
  const int64_t vectors = keeps_gates(layer.cell) ? gate_count(layer.cell) : kTileVectors;
  const int64_t panel_units = keeps_gates(layer.cell) ? width : vectors * width;
  const int64_t panels = (units + panel_units - 1) / panel_units, depth = inputs + units;
  thread_local std::vector<float> packed;
  float* const scratch = scratch_of(packed, panels * (depth * vectors + kTileVectors) * width);
  const Job job{layer,           x.data,  first_hidden.data,
                first_cell.data, trace,   inputs,
                units,           scratch, scratch + panels * depth * vectors * width,
                vectors,         set};
  parallel_for(exec.threads(), panels, 1, [&](int64_t begin, int64_t end) { pack(job, width, begin, end); });
  parallel_for(exec.threads(), layer.batch, 1, [&](int64_t begin, int64_t end) {
    thread_local std::vector<float> mine;
    float* const rows = scratch_of(mine, kBlockSamples * row_stride(depth));
    for (int64_t i = begin; i < end; i += kBlockSamples)
      run_on<RunCell>(set, job, i, std::min(i + kBlockSamples, end), rows);
  });
}

}  // namespace sotto::kernels
