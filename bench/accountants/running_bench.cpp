#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>

#include "accountants/pld/running_check.h"
#include "accountants/run_allotment.h"

namespace sotto::accountants {
namespace {

constexpr auto kRelation = NeighbouringRelation::add_remove;

// One more step and whether the budget still holds, both bounds and both neighbours, at each of a run's 1,202 steps.
// The goal is 200 µs for 99 of 100.
void warm_check(benchmark::State& state) {
  using Clock = std::chrono::steady_clock;
  const FixedSchedule schedule(kRelation, {{{PoissonSampledGaussian{1, 0.01}}, 1202}});
  std::vector<double> microseconds;
  double first_transforms = 0;
  for (auto _ : state) {
    const auto start = Clock::now();
    RunningCheck check(schedule, 2, 1e-5);
    first_transforms = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
    for (int64_t step = 0; step < schedule.steps(); ++step) {
      const auto begin = Clock::now();
      benchmark::DoNotOptimize(check.take(0));
      microseconds.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
    }
  }
  std::sort(microseconds.begin(), microseconds.end());
  const auto quantile = [&](double share) {
    return microseconds[static_cast<size_t>(share * static_cast<double>(microseconds.size() - 1))];
  };
  state.counters["p50_us"] = quantile(0.5);
  state.counters["p99_us"] = quantile(0.99);
  state.counters["made_in_ms"] = first_transforms;
}
BENCHMARK(warm_check)->Unit(benchmark::kMillisecond);

// Ten kinds of steps by turns, checked after each of a million. The goal is a second in all.
void million_mixed_steps(benchmark::State& state) {
  constexpr int64_t kEach = 100'000;
  EventList parts;
  for (const auto& [noise, rate] :
       {std::pair{1.0, 1e-4}, {1.5, 1e-3}, {2.0, 2e-3}, {4.0, 5e-3}, {8.0, 1e-2}, {1.2, 3e-4}})
    parts.push_back({{PoissonSampledGaussian{noise, rate}}, kEach});
  for (const double noise : {1000.0, 3000.0}) parts.push_back({{Laplace{noise}}, kEach});
  for (const double noise : {500.0, 2000.0}) parts.push_back({{Gaussian{noise}}, kEach});
  const FixedSchedule schedule(kRelation, parts);
  const double epsilon = schedule.epsilon(1e-6).upper * 1.01;
  int64_t held = 0;
  for (auto _ : state) {
    RunningCheck check(schedule, epsilon, 1e-6);
    held = 0;
    for (int64_t step = 0; step < schedule.steps(); ++step)
      held += check.take(static_cast<size_t>(step) % parts.size());
  }
  state.counters["steps_that_hold"] = static_cast<double>(held);
}
BENCHMARK(million_mixed_steps)->Unit(benchmark::kMillisecond);

// What a run's reservation pays once: finding its 1,202 steps of 10,000 with the proof, and the ladder of its receipts.
void allotment_made(benchmark::State& state) {
  const FixedSchedule plan(kRelation, {{{PoissonSampledGaussian{1, 0.01}}, 10'000}});
  for (auto _ : state) {
    const RunAllotment allotment(plan, {2, 1e-5, "pld"});
    benchmark::DoNotOptimize(allotment.epsilon(1));
  }
}
BENCHMARK(allotment_made)->Unit(benchmark::kMillisecond);

// And what each charge pays after that.
void allotment_asked(benchmark::State& state) {
  const FixedSchedule plan(kRelation, {{{PoissonSampledGaussian{1, 0.01}}, 10'000}});
  const RunAllotment allotment(plan, {2, 1e-5, "pld"});
  int64_t step = 0;
  for (auto _ : state) benchmark::DoNotOptimize(allotment.epsilon(step = step % 1202 + 1));
}
BENCHMARK(allotment_asked)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sotto::accountants
