#include <benchmark/benchmark.h>

#include <vector>

#include "kernels/recurrent/recurrent.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

// Sequences, rows of each, inputs, units, threads: the LSTM of bench/engine and a small one.
void layers(benchmark::internal::Benchmark* bench) {
  for (int threads : {1, 2}) bench->Args({16, 32, 32, 64, threads})->Args({64, 64, 64, 128, threads});
  bench->ArgNames({"B", "T", "d", "h", "threads"})->UseRealTime()->Unit(benchmark::kMicrosecond);
}

struct Layer {
  Layer(const benchmark::State& state, Cell cell)
      : batch(state.range(0)),
        rows(batch * state.range(1)),
        inputs(state.range(2)),
        units(state.range(3)),
        gates(gate_count(cell) * units),
        exec(Exec::cpu(static_cast<int>(state.range(4)))),
        x(normal_values(rows * inputs, 1)),
        input_weight(normal_values(gates * inputs, 2, 0.1f)),
        hidden_weight(normal_values(gates * units, 3, 0.1f)),
        first(batch * units, 0.0f),
        hidden(rows * units),
        kept(rows * gates),
        states(rows * units),
        layer{cell,
              batch,
              state.range(1),
              false,
              {input_weight.data(), gates, inputs},
              {hidden_weight.data(), gates, units},
              {nullptr, 0},
              {nullptr, 0}},
        trace{{hidden.data(), rows, units}, {kept.data(), rows, gates}, {states.data(), rows, units}} {}
  MatrixView<const float> first_state() const { return {first.data(), batch, units}; }
  void forward() {
    recurrent_forward(exec, layer, {x.data(), rows, inputs}, first_state(),
                      layer.cell == Cell::lstm ? first_state() : MatrixView<const float>{nullptr, 0, 0}, trace);
  }
  int64_t batch, rows, inputs, units, gates;
  Exec exec;
  std::vector<float> x, input_weight, hidden_weight, first, hidden, kept, states;
  RecurrentLayer layer;
  RecurrentTrace trace;
};

void forward(benchmark::State& state, Cell cell) {
  Layer own(state, cell);
  for (auto _ : state) own.forward();
  state.counters["flops"] = benchmark::Counter(2.0 * double(own.rows * own.gates * (own.inputs + own.units)),
                                               benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK_CAPTURE(forward, lstm, Cell::lstm)->Apply(layers);
BENCHMARK_CAPTURE(forward, gru, Cell::gru)->Apply(layers);

// Of the LSTM, without the gradient of x.
void backward(benchmark::State& state) {
  Layer own(state, Cell::lstm);
  own.forward();
  const auto of_hidden = normal_values(own.rows * own.units, 4);
  std::vector<float> gates(own.kept.size()), bias(static_cast<size_t>(own.batch * own.gates)),
      of_first(own.first.size()), of_cell(own.first.size());
  for (auto _ : state)
    recurrent_backward(own.exec, own.layer, own.first_state(), own.first_state(), own.trace,
                       {{of_hidden.data(), own.rows, own.units}, {nullptr, 0, 0}, {nullptr, 0, 0}},
                       {{gates.data(), own.rows, own.gates},
                        {nullptr, 0, 0},
                        {bias.data(), own.batch, own.gates},
                        {nullptr, 0, 0},
                        {nullptr, 0, 0},
                        {of_first.data(), own.batch, own.units},
                        {of_cell.data(), own.batch, own.units}});
  state.counters["flops"] =
      benchmark::Counter(2.0 * double(own.rows * own.gates * own.units), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(backward)->Apply(layers);

}  // namespace
}  // namespace sotto::kernels
