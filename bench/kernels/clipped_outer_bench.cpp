#include <benchmark/benchmark.h>

#include <vector>

#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/outer_norms/outer_norms.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

// Samples, rows a sample, inputs d, outputs p, threads: the layers of the MLP of bench/engine, a block of its
// transformer, and a layer whose accumulator does not fit the caches.
void layers(benchmark::internal::Benchmark* bench) {
  for (int threads : {1, 2}) {
    bench->Args({1024, 1, 120, 256, threads})->Args({1024, 1, 256, 128, threads})->Args({1024, 1, 128, 2, threads});
    bench->Args({32, 128, 128, 128, threads})->Args({32, 128, 128, 512, threads})->Args({32, 32, 2048, 512, threads});
  }
  bench->ArgNames({"B", "T", "d", "p", "threads"})->UseRealTime()->Unit(benchmark::kMicrosecond);
}

struct Layer {
  explicit Layer(const benchmark::State& state)
      : samples(state.range(0)),
        length(state.range(1)),
        rows(samples * length),
        d(state.range(2)),
        p(state.range(3)),
        exec(Exec::cpu(static_cast<int>(state.range(4)))),
        a(normal_values(rows * d, 1)),
        g(normal_values(rows * p, 2)) {}
  int64_t samples, length, rows, d, p;
  Exec exec;
  std::vector<float> a, g;
};

void clipped_outer(benchmark::State& state) {
  const Layer layer(state);
  const std::vector<float> factors(static_cast<size_t>(layer.samples), 0.5f);
  std::vector<float> weight(static_cast<size_t>(layer.p * layer.d)), bias(static_cast<size_t>(layer.p));
  for (auto _ : state)
    accumulate_clipped_outer(layer.exec, {layer.g.data(), layer.rows, layer.p}, {layer.a.data(), layer.rows, layer.d},
                             {factors.data(), layer.samples}, layer.length, {weight.data(), layer.p, layer.d},
                             {bias.data(), layer.p});
  state.counters["flops"] =
      benchmark::Counter(2.0 * double(layer.rows * layer.p * layer.d), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(clipped_outer)->Apply(layers);

void outer_norms(benchmark::State& state) {
  const Layer layer(state);
  std::vector<double> squared(static_cast<size_t>(layer.rows));
  for (auto _ : state)
    accumulate_outer_norms(layer.exec, {layer.a.data(), layer.rows, layer.d}, {layer.g.data(), layer.rows, layer.p},
                           true, {squared.data(), layer.rows});
  state.SetBytesProcessed(state.iterations() * 4 * layer.rows * (layer.d + layer.p));
}
BENCHMARK(outer_norms)->Apply(layers);

}  // namespace
}  // namespace sotto::kernels
