#include <benchmark/benchmark.h>

#include <vector>

#include "kernels/embedding_norms/embedding_norms.h"
#include "kernels/ghost_norms/ghost_norms.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

// Samples, rows a sample, inputs d, outputs p: around where the ghost and the direct way meet.
void layers(benchmark::internal::Benchmark* bench) {
  bench->Args({32, 8, 512, 2048})->Args({32, 32, 512, 2048})->Args({32, 128, 128, 128})->Args({32, 128, 128, 512});
  bench->ArgNames({"B", "T", "d", "p"})->UseRealTime()->Unit(benchmark::kMicrosecond);
}

void sequence_norms(benchmark::State& state, SequenceNorms accumulate) {
  const int64_t samples = state.range(0), length = state.range(1), rows = samples * length;
  const int64_t d = state.range(2), p = state.range(3);
  const auto a = normal_values(rows * d, 1), g = normal_values(rows * p, 2);
  std::vector<double> squared(static_cast<size_t>(samples));
  for (auto _ : state)
    accumulate(Exec::cpu(2), {a.data(), rows, d}, {g.data(), rows, p}, length, true, {squared.data(), samples});
}
BENCHMARK_CAPTURE(sequence_norms, ghost, accumulate_ghost_norms)->Apply(layers);
BENCHMARK_CAPTURE(sequence_norms, direct, accumulate_direct_norms)->Apply(layers);

void bfloat16_sequence_norms(benchmark::State& state) {
  const int64_t samples = state.range(0), length = state.range(1), rows = samples * length;
  const int64_t d = state.range(2), p = state.range(3);
  std::vector<Bfloat16> a, g;
  for (const float x : normal_values(rows * d, 1)) a.push_back(to_bfloat16(x));
  for (const float x : normal_values(rows * p, 2)) g.push_back(to_bfloat16(x));
  std::vector<double> squared(static_cast<size_t>(samples));
  for (auto _ : state)
    accumulate_ragged_ghost_norms(Exec::cpu(2), MatrixView<const Bfloat16>{a.data(), rows, d},
                                  MatrixView<const Bfloat16>{g.data(), rows, p}, {samples, length}, true, {nullptr, 0},
                                  {squared.data(), samples});
}
BENCHMARK(bfloat16_sequence_norms)->Apply(layers);

void embedding_norms(benchmark::State& state) {
  const int64_t samples = 32, length = 128, d = 128;
  const auto g = normal_values(samples * length * d, 1);
  std::mt19937_64 rng(2);
  std::vector<int64_t> ids(static_cast<size_t>(samples * length));
  for (int64_t& id : ids) id = int64_t(rng() % 1000);
  std::vector<double> squared(static_cast<size_t>(samples));
  for (auto _ : state)
    accumulate_embedding_norms(Exec::cpu(2), {ids.data(), samples, length}, {g.data(), samples * length, d}, -1,
                               {squared.data(), samples});
}
BENCHMARK(embedding_norms)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sotto::kernels
