#include <benchmark/benchmark.h>

#include <vector>

#include "kernels/noise/draw.h"
#include "kernels/noise/noise.h"
#include "kernels/update/update.h"

namespace sotto::kernels {
namespace {

StreamKey stream_of(Generator generator) {
  return RunKey::from_seed(1).stream(Purpose::noise, 0, 0, generator);
}

void per_element(benchmark::State& state, int64_t elements) {
  state.counters["per_1e9_elements"] = benchmark::Counter(1e-9 * double(state.iterations()) * double(elements),
                                                    benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

// One thread, normals that stay in the first-level cache, on each instruction set up to this machine's (0: SSE2).
void draw(benchmark::State& state, Generator generator) {
  const auto set = static_cast<InstructionSet>(state.range(0));
  if (set > best_instruction_set()) return state.SkipWithError("not on this machine");
  constexpr int64_t kBlocks = 128;
  alignas(64) float normals[kBlocks * kNormalsPerBlock];
  const StreamKey stream = stream_of(generator);
  for (auto _ : state) {
    draw_normals_by(set, generator)(stream, 0, kBlocks, normals);
    benchmark::DoNotOptimize(normals);
  }
  per_element(state, kBlocks * kNormalsPerBlock);
}
BENCHMARK_CAPTURE(draw, chacha20, Generator::chacha20)->DenseRange(0, 2);
BENCHMARK_CAPTURE(draw, philox, Generator::philox)->DenseRange(0, 2);

// What a step does: 4 million parameters, one thread.
void sgd(benchmark::State& state, Generator generator) {
  constexpr int64_t kSize = 1 << 22;
  const std::vector<float> sum(kSize, 0.5f);
  std::vector<float> momentum(kSize, 0.0f), parameter(kSize, 0.0f);
  for (auto _ : state)
    noisy_sgd(Exec::cpu(1), stream_of(generator), 1.0, 64.0, {.learning_rate = 0.01, .momentum = 0.9},
              {sum.data(), kSize}, {momentum.data(), kSize}, {parameter.data(), kSize});
  per_element(state, kSize);
}
BENCHMARK_CAPTURE(sgd, chacha20, Generator::chacha20)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(sgd, philox, Generator::philox)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sotto::kernels
