#include <benchmark/benchmark.h>

#include "accountants/shuffle.h"

namespace sotto::accountants {
namespace {

// ε of a million shuffled reports of a local ε of 1, at δ = 1e-6. The goal is 100 ms.
void a_million_reports(benchmark::State& state) {
  double epsilon = 0;
  for (auto _ : state) benchmark::DoNotOptimize(epsilon = shuffled_epsilon(1, 1'000'000, 1e-6));
  state.counters["epsilon"] = epsilon;
}
BENCHMARK(a_million_reports)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sotto::accountants
