#include <benchmark/benchmark.h>

#include <cmath>

#include "accountants/calibrate.h"

namespace sotto::accountants {
namespace {

// How far the answer and the value that was refused are apart, and how many costs were computed on the way.
void report(benchmark::State& state, const Calibration& found) {
  state.counters["evaluations"] = found.evaluations;
  state.counters["value"] = found.fits->value;
  state.counters["apart"] = std::abs(found.fails->value / found.fits->value - 1);
  state.counters["proven"] = found.fails->epsilon.lower > found.fits->epsilon.upper;
}

Target target(const char* accountant, double epsilon, double delta) {
  return {epsilon, delta, accountant};
}

void noise(benchmark::State& state, const Target& wanted, double rate, int64_t steps) {
  Calibration found;
  for (auto _ : state)
    found = least_noise(wanted, steps, [&](double sigma) { return Event{PoissonSampledGaussian{sigma, rate}}; });
  report(state, found);
}

void steps(benchmark::State& state, const Target& wanted, double sigma, double rate) {
  Calibration found;
  for (auto _ : state) found = most_steps(wanted, {PoissonSampledGaussian{sigma, rate}});
  report(state, found);
}

void batch(benchmark::State& state, const Target& wanted, double sigma, int64_t count, int64_t units) {
  const Parameter parameter = batch_parameter(count, units, [&](double rate) {
    return Event{PoissonSampledGaussian{sigma, rate}};
  });
  Calibration found;
  for (auto _ : state) found = calibrate(wanted, parameter);
  report(state, found);
}

// The cases of the published calibrations and stopping times, and one of whole batches.
BENCHMARK_CAPTURE(noise, rdp_rate_1e2_steps_1e4, target("rdp", 1, 1e-5), 0.01, 10'000)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(noise, pld_rate_1e2_steps_1e4, target("pld", 1, 1e-5), 0.01, 10'000)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(noise, pld_rate_1e3_steps_2e4, target("pld", 0.5, 1e-8), 0.001, 20'000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(noise, pld_rate_half_steps_100, target("pld", 2, 1e-6), 0.5, 100)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(noise, pld_plain_steps_100, target("pld", 8, 1e-6), 1.0, 100)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(steps, pld_sigma_1_rate_1e2, target("pld", 2, 1e-5), 1.0, 0.01)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(steps, pld_sigma_08_rate_5e2, target("pld", 8, 1e-6), 0.8, 0.05)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(steps, pld_sigma_2_rate_1e1, target("pld", 1, 1e-6), 2.0, 0.1)->Unit(benchmark::kMillisecond);
// Little noise and rare units: removing decides, and adding is next to nothing.
BENCHMARK_CAPTURE(noise, pld_rate_1e4_steps_100, target("pld", 20, 1e-10), 1e-4, 100)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(steps, pld_sigma_03_rate_1e3, target("pld", 10, 1e-5), 0.3, 0.001)->Unit(benchmark::kMillisecond);
// Brackets that no grid within the limits makes narrow.
BENCHMARK_CAPTURE(noise, pld_rate_1e6_steps_1e8, target("pld", 3, 1e-5), 1e-6, 100'000'000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(batch, pld_sigma_1_steps_1000, target("pld", 2, 1e-5), 1.0, 1000, 60'000)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sotto::accountants
