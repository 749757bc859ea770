#include <benchmark/benchmark.h>

#include "accountants/accountant.h"

namespace sotto::accountants {
namespace {

constexpr PoissonSampledGaussian kStep{1.0, 0.01};

// What every step of a run pays before the ledger writes it (ledger_bench: single_charges): one more event, and its
// epsilon. The goal is 20 µs.
void compose_and_epsilon(benchmark::State& state) {
  const auto accountant = make_accountant("rdp", NeighbouringRelation::add_remove);
  for (auto _ : state) {
    accountant->compose({kStep});
    benchmark::DoNotOptimize(accountant->epsilon(1e-5));
  }
}
BENCHMARK(compose_and_epsilon)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sotto::accountants
