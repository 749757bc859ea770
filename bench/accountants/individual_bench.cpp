#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "accountants/individual_filter.h"

namespace sotto::accountants {
namespace {

// A round of 10,000 of a million clients, drawn at random, each with its own share. The goal is 10 ms.
void round_of_10000_of_a_million(benchmark::State& state) {
  constexpr int64_t kClients = 1'000'000, kRound = 10'000;
  IndividualFilter filter(kClients, ZcdpBudget{1});
  std::mt19937_64 random(1);
  std::vector<int64_t> all(kClients);
  for (int64_t i = 0; i < kClients; ++i) all[static_cast<size_t>(i)] = i;
  std::shuffle(all.begin(), all.end(), random);
  std::vector<float> shares(kRound);
  for (float& share : shares) share = static_cast<float>(random() % 1000) / 1000.0F;
  std::vector<uint8_t> admitted(kRound);
  int64_t first = 0;
  for (auto _ : state) {
    filter.admit({all.data() + first, kRound}, shares, 20, admitted);
    benchmark::DoNotOptimize(admitted.data());
    first = (first + kRound) % kClients;
  }
  state.counters["bytes_a_client"] = sizeof(uint64_t);
}
BENCHMARK(round_of_10000_of_a_million)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sotto::accountants
