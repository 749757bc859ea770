#include <benchmark/benchmark.h>

#include "accountants/pld/pld_accountant.h"

namespace sotto::accountants {
namespace {

// Both bounds and both neighbours, from nothing: ε at δ = 1e-5. The counter is the bracket's relative width.
void bracket_of(benchmark::State& state, const Event& event, int64_t count, double gap, NeighbouringRelation relation) {
  Bracket found{};
  for (auto _ : state) {
    PldAccountant accountant(relation, {.relative_gap = gap});
    accountant.compose(event, count);
    found = accountant.epsilon_bracket(1e-5);
    benchmark::DoNotOptimize(found);
  }
  state.counters["relative_gap"] = (found.upper - found.lower) / found.upper;
  state.counters["epsilon"] = found.upper;
}

void bracket(benchmark::State& state, double noise_multiplier, double sample_rate, int64_t steps, double gap) {
  bracket_of(state, {PoissonSampledGaussian{noise_multiplier, sample_rate}}, steps, gap,
             NeighbouringRelation::add_remove);
}
BENCHMARK_CAPTURE(bracket, rate_1e2_steps_1e4_gap_1e3, 1.0, 0.01, 10'000, 1e-3)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(bracket, rate_1e2_steps_1e4_gap_1e5, 1.0, 0.01, 10'000, 1e-5)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(bracket, rate_1e4_steps_1e6_gap_5e3, 1.0, 1e-4, 1'000'000, 5e-3)->Unit(benchmark::kMillisecond);

void bracket_laplace(benchmark::State& state) {
  bracket_of(state, {Laplace{10}}, 1000, 1e-3, NeighbouringRelation::add_remove);
}
void bracket_discrete_gaussian(benchmark::State& state) {
  bracket_of(state, {DiscreteGaussian{100, 10}}, 1000, 1e-3, NeighbouringRelation::add_remove);
}
void bracket_replace_one(benchmark::State& state) {
  bracket_of(state, {PoissonSampledGaussian{1, 0.01}}, 10'000, 1e-3, NeighbouringRelation::replace_one);
}
BENCHMARK(bracket_laplace)->Unit(benchmark::kMillisecond);
BENCHMARK(bracket_discrete_gaussian)->Unit(benchmark::kMillisecond);
BENCHMARK(bracket_replace_one)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sotto::accountants
