#include <benchmark/benchmark.h>

#include <thread>

#include "engine/step_bench/step_bench.h"

namespace sotto {
namespace {

// One iteration is a whole side-by-side comparison; the counters are what counts. Asked for: ratio ≤ 1.03 (mlp), ≤ 1.06
// (transformer), peak_bytes_ratio ≤ 1.10. Allocator settings are the process's own: `sotto bench step` reports both.
void private_step_over_plain(benchmark::State& state, const char* model) {
  StepBench result;
  for (auto _ : state)
    result =
        bench_step({.model = model, .rounds = 15, .threads = static_cast<int>(std::thread::hardware_concurrency())});
  state.counters["plain_ms"] = result.plain_ms;
  state.counters["private_ms"] = result.private_ms;
  state.counters["ratio"] = result.ratio;
  state.counters["peak_bytes_ratio"] =
      static_cast<double>(result.private_peak_bytes) / static_cast<double>(result.plain_peak_bytes);
}
BENCHMARK_CAPTURE(private_step_over_plain, mlp, "mlp")->Iterations(1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(private_step_over_plain, transformer, "transformer")->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sotto
