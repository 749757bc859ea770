#include <benchmark/benchmark.h>

#include <vector>

#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/row_norms/row_norms.h"
#include "kernels/sample_gradients/sample_gradients.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

// Samples, rows of each, inputs d, outputs p, threads: an LSTM's weights and a block of a transformer, of bench/engine.
void layers(benchmark::internal::Benchmark* bench) {
  for (int threads : {1, 2})
    bench->Args({64, 64, 64, 512, threads})->Args({64, 64, 128, 512, threads})->Args({32, 128, 512, 128, threads});
  bench->ArgNames({"B", "T", "d", "p", "threads"})->UseRealTime()->Unit(benchmark::kMicrosecond);
}

struct Layer {
  explicit Layer(const benchmark::State& state)
      : samples(state.range(0)),
        length(state.range(1)),
        d(state.range(2)),
        p(state.range(3)),
        exec(Exec::cpu(static_cast<int>(state.range(4)))),
        stored(normal_values(samples * p * d, 1)) {}
  MatrixView<float> rows() { return {stored.data(), samples, p * d}; }
  int64_t samples, length, d, p;
  Exec exec;
  std::vector<float> stored;
};

void count_bytes(benchmark::State& state, const Layer& layer) {
  state.SetBytesProcessed(state.iterations() * 4 * static_cast<int64_t>(layer.stored.size()));
}

void make_rows(benchmark::State& state) {
  Layer layer(state);
  const int64_t rows = layer.samples * layer.length;
  const auto a = normal_values(rows * layer.d, 2), g = normal_values(rows * layer.p, 3);
  for (auto _ : state)
    sample_gradients(layer.exec, {a.data(), rows, layer.d}, {g.data(), rows, layer.p}, layer.length, layer.rows());
  state.counters["flops"] =
      benchmark::Counter(2.0 * double(rows * layer.p * layer.d), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(make_rows)->Apply(layers);

void row_norms(benchmark::State& state) {
  Layer layer(state);
  std::vector<double> squared(static_cast<size_t>(layer.samples));
  for (auto _ : state)
    accumulate_row_norms(layer.exec, {layer.stored.data(), layer.samples, layer.p * layer.d},
                         {squared.data(), layer.samples});
  count_bytes(state, layer);
}
BENCHMARK(row_norms)->Apply(layers);

void clipped_rows(benchmark::State& state) {
  Layer layer(state);
  const std::vector<float> factors(static_cast<size_t>(layer.samples), 0.5f);
  std::vector<float> sum(static_cast<size_t>(layer.p * layer.d));
  for (auto _ : state)
    accumulate_clipped_rows(layer.exec, {layer.stored.data(), layer.samples, layer.p * layer.d},
                            {factors.data(), layer.samples}, VectorView<float>{sum.data(), layer.p * layer.d});
  count_bytes(state, layer);
}
BENCHMARK(clipped_rows)->Apply(layers);

}  // namespace
}  // namespace sotto::kernels
