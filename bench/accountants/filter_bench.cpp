#include <benchmark/benchmark.h>

#include "accountants/adaptive_filter.h"
#include "accountants/odometer.h"

namespace sotto::accountants {
namespace {

constexpr auto kRelation = NeighbouringRelation::add_remove;
constexpr int64_t kQueries = 1'000'000;

// A million queries, one use each, of four kinds in turn. The goal is 1 s (a peer: 7.2 s for 2,000).
template <class Budget>
void a_million_queries(benchmark::State& state, Budget budget, double sample_rate) {
  for (auto _ : state) {
    AdaptiveFilter filter(budget, kRelation);
    for (int64_t i = 0; i < kQueries; ++i)
      if (!filter.try_charge({PoissonSampledGaussian{20.0 + static_cast<double>(i % 4), sample_rate}}))
        state.SkipWithError("the budget is too small for this bench");
  }
}
BENCHMARK_CAPTURE(a_million_queries, rdp,
                  (RdpBudget{{1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 256}, std::vector<double>(12, 1e6)}), 0.01)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(a_million_queries, zcdp, ZcdpBudget{1e6}, 1.0)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(a_million_queries, gdp, GdpBudget{1e6}, 1.0)->Unit(benchmark::kMillisecond);

// The same where every query is a new event.
void a_million_new_events(benchmark::State& state) {
  for (auto _ : state) {
    AdaptiveFilter filter(ZcdpBudget{1e6}, kRelation);
    for (int64_t i = 0; i < kQueries; ++i)
      if (!filter.try_charge({Gaussian{20.0 + static_cast<double>(i) * 1e-3}}))
        state.SkipWithError("the budget is too small for this bench");
  }
}
BENCHMARK(a_million_new_events)->Unit(benchmark::kMillisecond);

void odometer_of_a_million(benchmark::State& state) {
  for (auto _ : state) {
    Odometer odometer(Currency::rdp, kRelation, 1e-6);
    for (int64_t i = 0; i < kQueries; ++i) {
      odometer.charge({PoissonSampledGaussian{20.0 + static_cast<double>(i % 4), 0.01}});
      benchmark::DoNotOptimize(odometer.epsilon());
    }
  }
}
BENCHMARK(odometer_of_a_million)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sotto::accountants
