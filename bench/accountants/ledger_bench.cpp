#include "accountants/ledger.h"

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "base/error.h"

namespace sotto::accountants {
namespace {

// Where the ledgers on a server go, each into a schema of its own that stays there: postgresql://host/database?option.
const char* server() {
  return std::getenv("SOTTO_BENCH_POSTGRES");
}

LedgerLocation new_location(bool on_server) {
  static int ledgers = 0;
  if (!on_server) return std::filesystem::temp_directory_path() / cat("sotto-bench-", ::getpid(), ".db");
  return LedgerLocation::parse(cat(server(), "&schema=bench_", ::getpid(), "_", ++ledgers));
}

// A new ledger on the disk under the temporary folder or on a server, and runs that will not run out.
class Place {
 public:
  explicit Place(bool with_keys, bool on_server = false) : location_(new_location(on_server)) {
    ledger_ = std::make_unique<Ledger>(Ledger::open(location_));
    if (!with_keys) return;
    ledger_->sign_with(SigningKey::generate());
    ledger_->set_owner("bench");
    ledger_->grant({.epsilon = 1e9, .delta = 1e-5});
  }
  ~Place() {
    ledger_.reset();
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(location_.file().string() + suffix);
  }
  void reserve(int runs) {
    for (int run = 0; run < runs; ++run)
      ledger_->reserve({cat("run-", 1000 + run),
                        "who",
                        "data",
                        "hash",
                        "unit",
                        NeighbouringRelation::add_remove,
                        "rdp",
                        "config",
                        {PoissonSampledGaussian{1.0, 0.01}},
                        1e6,
                        1e-5,
                        1 << 20});
  }
  // A step of each of the runs, in one commit.
  void charge(int runs) {
    ++step_;
    std::vector<StepRange> group;
    for (int run = 0; run < runs; ++run) group.push_back({cat("run-", 1000 + run), step_, step_});
    ledger_->charge(group);
  }
  const LedgerLocation& location() const { return location_; }

 private:
  LedgerLocation location_;
  std::unique_ptr<Ledger> ledger_;
  int64_t step_ = 0;
};

bool is_missing(benchmark::State& state, int argument) {
  if (state.range(argument) == 0 || server()) return false;
  state.SkipWithError("SOTTO_BENCH_POSTGRES names no server");
  return true;
}

// Groups of 1,000 charges. The goal is 20,000 rows a second.
void grouped_charges(benchmark::State& state) {
  if (is_missing(state, 1)) return;
  Place place(state.range(0) != 0, state.range(1) != 0);
  place.reserve(1000);
  for (auto _ : state) place.charge(1000);
  state.SetItemsProcessed(state.iterations() * 1000);
}
BENCHMARK(grouped_charges)
    ->ArgNames({"signed", "server"})
    ->Args({0, 0})
    ->Args({1, 0})
    ->Args({0, 1})
    ->Args({1, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

// One durable charge at a time (synchronous=FULL). The goal is 5 ms for the 99th of a hundred.
void single_charges(benchmark::State& state) {
  if (is_missing(state, 1)) return;
  Place place(state.range(0) != 0, state.range(1) != 0);
  place.reserve(1);
  std::vector<double> milliseconds;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    place.charge(1);
    milliseconds.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  state.counters["p50_ms"] = milliseconds[milliseconds.size() / 2];
  state.counters["p99_ms"] = milliseconds[milliseconds.size() * 99 / 100];
}
BENCHMARK(single_charges)
    ->ArgNames({"signed", "server"})
    ->Args({0, 0})
    ->Args({1, 0})
    ->Args({0, 1})
    ->Args({1, 1})
    ->Iterations(2000)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

// What the disk itself needs for a synced write of a charge's size, to hold the former against.
void synced_write(benchmark::State& state) {
  const auto path = std::filesystem::temp_directory_path() / cat("sotto-sync-", ::getpid());
  const int file = ::open(path.c_str(), O_CREAT | O_RDWR | O_TRUNC, 0600);
  const std::string pages(4 * 4120, 'x');
  for (auto _ : state)
    if (::write(file, pages.data(), pages.size()) < 0 || ::fdatasync(file) != 0) state.SkipWithError("cannot write");
  ::close(file);
  std::filesystem::remove(path);
}
BENCHMARK(synced_write)->Unit(benchmark::kMillisecond)->UseRealTime();

// Rows of 1,000 runs, and of one. The goal is 10^6 rows a second.
void verify(benchmark::State& state) {
  if (is_missing(state, 2)) return;
  Place place(state.range(1) != 0, state.range(2) != 0);
  const auto runs = static_cast<int>(state.range(0));
  place.reserve(runs);
  for (int64_t rows = 0; rows < 200'000; rows += runs) place.charge(runs);
  int64_t rows = 0;
  for (auto _ : state) {
    const VerifyReport report = Ledger::verify(place.location());
    if (!report.ok) state.SkipWithError("the ledger does not hold");
    rows += report.head.id;
  }
  state.SetItemsProcessed(rows);
}
BENCHMARK(verify)
    ->ArgNames({"runs", "signed", "server"})
    ->Args({1000, 0, 0})
    ->Args({1000, 1, 0})
    ->Args({1000, 1, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace sotto::accountants
