#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>

#include "accountants/ledger.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr PoissonSampledGaussian kStep{1.0, 0.01};

// What every step of a run pays: one more event, and its epsilon. The goal is 20 µs.
void compose_and_epsilon(benchmark::State& state) {
  const auto accountant = make_accountant("rdp", NeighbouringRelation::add_remove);
  for (auto _ : state) {
    accountant->compose({kStep});
    benchmark::DoNotOptimize(accountant->epsilon(1e-5));
  }
}
BENCHMARK(compose_and_epsilon)->Unit(benchmark::kMicrosecond);

// The same through the ledger, down to the disk.
void charge(benchmark::State& state) {
  const auto path = std::filesystem::temp_directory_path() / cat("sotto-charge-bench-", ::getpid(), ".sqlite");
  {
    Ledger ledger = Ledger::open(path);
    ledger.reserve({"run",
                    "who",
                    "data",
                    "hash",
                    "unit",
                    NeighbouringRelation::add_remove,
                    "rdp",
                    "config",
                    {kStep},
                    1e6,
                    1e-5,
                    1 << 20});
    int64_t step = 0;
    for (auto _ : state) {
      ++step;
      ledger.charge("run", step, step);
    }
  }
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path.string() + suffix);
}
BENCHMARK(charge)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace sotto::accountants
