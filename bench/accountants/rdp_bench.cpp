#include <benchmark/benchmark.h>

#include "accountants/accountant.h"
#include "accountants/rdp/curve.h"
#include "accountants/rdp/orders.h"
#include "accountants/rdp/sampled_gaussian.h"

namespace sotto::accountants {
namespace {

constexpr auto kRelation = NeighbouringRelation::add_remove;

// One value of the divergence, at an integer and at a fractional order.
void one_order(benchmark::State& state, double order) {
  for (auto _ : state) benchmark::DoNotOptimize(rdp_sampled_gaussian(1, 0.01, order));
}
BENCHMARK_CAPTURE(one_order, integer, 12.0)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(one_order, fractional, 12.5)->Unit(benchmark::kMicrosecond);

// The whole table of orders of an event that was never seen.
void curve(benchmark::State& state) {
  for (auto _ : state)
    benchmark::DoNotOptimize(rdp_curve({PoissonSampledGaussian{1, 0.01}}, kRelation, default_orders()));
}
BENCHMARK(curve)->Unit(benchmark::kMicrosecond);

// ε of 10,000 steps of an event that was never seen (its noise differs at every turn). The goal is 200 µs.
void epsilon_of_a_new_event(benchmark::State& state) {
  double noise = 1;
  for (auto _ : state) {
    const auto accountant = make_accountant("rdp", kRelation);
    accountant->compose({PoissonSampledGaussian{noise += 1e-9, 0.01}}, 10'000);
    benchmark::DoNotOptimize(accountant->epsilon(1e-5));
  }
}
BENCHMARK(epsilon_of_a_new_event)->Unit(benchmark::kMicrosecond);

void epsilon_of_a_known_event(benchmark::State& state) {
  for (auto _ : state) {
    const auto accountant = make_accountant("rdp", kRelation);
    accountant->compose({PoissonSampledGaussian{1, 0.01}}, 10'000);
    benchmark::DoNotOptimize(accountant->epsilon(1e-5));
  }
}
BENCHMARK(epsilon_of_a_known_event)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sotto::accountants
