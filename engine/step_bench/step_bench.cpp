#include "engine/step_bench/step_bench.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>

#include "accountants/ledger.h"
#include "base/error.h"
#include "base/median.h"
#include "engine/autocast.h"
#include "engine/peak_memory.h"
#include "engine/step_bench/steps.h"

namespace sotto {
namespace {

template <class Work>
double milliseconds(Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double charge_milliseconds(int64_t rounds) {
  const auto path = std::filesystem::temp_directory_path() / cat("sotto-bench-", ::getpid(), ".sqlite");
  std::vector<double> times;
  {
    auto ledger = accountants::Ledger::open(path);
    ledger.reserve({"bench",
                    "bench",
                    "bench",
                    "bench",
                    "unit",
                    accountants::NeighbouringRelation::add_remove,
                    "rdp",
                    "bench",
                    {accountants::PoissonSampledGaussian{1.0, 0.01}},
                    100,
                    1e-5,
                    rounds});
    for (int64_t step = 1; step <= rounds; ++step) {
      auto charge = [&] { ledger.charge("bench", step, step); };
      times.push_back(milliseconds(charge));
    }
  }
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path.string() + suffix);
  return median(times);
}

double draw_milliseconds(int64_t rounds) {
  const PoissonSampler sampler(RunKey::from_os(), 0.01, 100000);
  std::vector<double> times;
  for (int64_t step = 0; step < rounds; ++step) {
    auto draw = [&] { sampler.draw(static_cast<uint64_t>(step)); };
    times.push_back(milliseconds(draw));
  }
  return median(times);
}

template <class Step>
int64_t peak_of(const Site& site, const std::function<std::unique_ptr<Step>()>& make, int times = 2) {
  return peak_tensor_bytes(site.device, [&] {
    const auto step = make();
    for (int time = 0; time < times; ++time) (*step)();
  });
}

struct Candidate {
  Survey known;
  int64_t peak_bytes;
};

Candidate with_peak(const StepBenchOptions& options, const Site& site, const StepWay& way) {
  const Survey known = survey(options.model, options.batch, site, way);
  const auto make = [&] {
    return std::make_unique<PrivateRound>(options.model, options.batch, site, known, options.record_passes);
  };
  return {known, peak_of<PrivateRound>(site, make, options.record_passes ? 4 : 2)};  // the third would be recorded
}

struct Timed {
  Candidate candidate;
  double shortest_ms;
};

// Of six steps, or as many as three seconds hold.
double shortest_milliseconds(const StepBenchOptions& options, const Site& site, const Survey& known) {
  PrivateRound round(options.model, options.batch, site, known, options.record_passes);
  double shortest = milliseconds(round), spent = shortest;
  for (int again = 0; again < 5 && spent < 3000; ++again) {
    const double time = milliseconds(round);
    shortest = std::min(shortest, time);
    spent += time;
  }
  return shortest;
}

// The faster of two, by eleven steps of each in turn, or as many as six seconds hold: a machine's speed drifts by more
// than they differ.
Candidate faster(const StepBenchOptions& options, const Site& site, const Candidate& one, const Candidate& other) {
  PrivateRound first(options.model, options.batch, site, one.known, options.record_passes),
      second(options.model, options.batch, site, other.known, options.record_passes);
  std::vector<double> ratios;
  for (double spent = 0; ratios.empty() || (ratios.size() < 11 && spent < 6000);) {
    const double first_ms = milliseconds(first), second_ms = milliseconds(second);
    ratios.push_back(first_ms / second_ms);
    spent += first_ms + second_ms;
  }
  return median(ratios) <= 1 ? one : other;
}

// Plain and private steps alternate, so that the memory of both is taken at once.
void require_memory(const StepBenchOptions& options, int64_t bytes, int64_t available) {
  if (bytes <= available) return;
  const auto gigabytes = [](int64_t n) { return static_cast<double>(n / 100'000'000) / 10; };
  throw Error(ErrorKind::configuration,
              cat("the two steps of ", options.model, " need ", gigabytes(bytes), " GB of memory at this batch, ",
                  gigabytes(available), " GB are free: lower --batch, take a smaller model, or --device cuda"));
}

// Six ways through the batch: at once or by halves, and with as much kept as is asked for, or a quarter or a ninth of
// what the plain step needs.
Candidate chosen_way(const StepBenchOptions& options, const Site& site, at::ScalarType type, int64_t plain_peak_bytes) {
  if (options.microbatch > 0 || options.memory_limit > 0)
    return with_peak(options, site,
                     {options.microbatch, options.memory_limit > 0 ? options.memory_limit : kMemoryLimit, type});
  const auto most = static_cast<int64_t>(options.peak_limit * static_cast<double>(plain_peak_bytes));
  std::vector<Timed> fitting;
  std::optional<Candidate> smallest;
  int64_t batch = 0;  // the model's own, until a survey says how many that is
  for (const bool halved : {false, true})
    for (const int64_t memory_limit : {kMemoryLimit, plain_peak_bytes / 4, plain_peak_bytes / 9}) {
      const Candidate one = with_peak(options, site, {halved ? (batch + 1) / 2 : batch, memory_limit, type});
      if (batch == 0) batch = one.known.way.microbatch;
      if (!smallest || one.peak_bytes < smallest->peak_bytes) smallest = one;
      if (one.peak_bytes <= most) fitting.push_back({one, shortest_milliseconds(options, site, one.known)});
    }
  if (fitting.empty()) return *smallest;
  std::sort(fitting.begin(), fitting.end(),
            [](const Timed& a, const Timed& b) { return a.shortest_ms < b.shortest_ms; });
  Candidate best = fitting[0].candidate;
  for (size_t k = 1; k < fitting.size() && fitting[k].shortest_ms <= 1.1 * fitting[0].shortest_ms; ++k)
    best = faster(options, site, best, fitting[k].candidate);
  return best;
}

}  // namespace

StepBench bench_step(const StepBenchOptions& options) {
  require(options.rounds >= 1, "--rounds must be at least 1, got ", options.rounds);
  require(options.peak_limit > 0, "--peak-limit must be above 0, got ", options.peak_limit);
  const at::ScalarType type = product_type(options.precision);
  const Site site = open_site(options.on_cuda, options.threads, options.streams, options.record_passes);
  const int64_t available = options.on_cuda ? std::numeric_limits<int64_t>::max() : available_memory();
  StepBench result;
  result.plain_peak_bytes =
      peak_of<PlainStep>(site, [&] { return std::make_unique<PlainStep>(options.model, options.batch, site, type); });
  const auto [known, peak_bytes] = chosen_way(options, site, type, result.plain_peak_bytes);
  result.private_peak_bytes = peak_bytes;
  require_memory(options, result.plain_peak_bytes + peak_bytes, available);

  PlainStep plain(options.model, options.batch, site, type);
  PrivateRound private_round(options.model, options.batch, site, known, options.record_passes);
  // The first hundred short steps are slower, by what the libraries and the clock of the processor take to settle.
  double warm_ms = 0;
  for (int warm = 0; warm < 1 || (warm < 100 && warm_ms < 1000); ++warm)
    warm_ms += milliseconds(plain) + milliseconds(private_round);
  std::vector<double> plain_ms, private_ms, ratios;
  for (int64_t round = 0; round < options.rounds; ++round) {
    plain_ms.push_back(milliseconds(plain));
    private_ms.push_back(milliseconds(private_round));
    ratios.push_back(private_ms.back() / plain_ms.back());
  }
  private_round.explain_to(result);
  result.model = options.model;
  result.precision = options.precision;
  result.batch = private_round.batch();
  result.microbatch = known.way.microbatch;
  result.memory_limit = known.way.memory_limit;
  result.parameters = private_round.parameters();
  result.rounds = options.rounds;
  result.threads = options.threads;
  result.plain_ms = median(plain_ms);
  result.private_ms = median(private_ms);
  result.ratio = median(ratios);
  result.charge_ms = charge_milliseconds(std::min<int64_t>(options.rounds, 25));
  result.draw_ms = draw_milliseconds(std::min<int64_t>(options.rounds, 25));
  return result;
}

}  // namespace sotto
