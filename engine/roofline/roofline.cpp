#include "engine/roofline/roofline.h"

#include <ATen/core/grad_mode.h>
#include <regex.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <set>

#include "base/error.h"
#include "base/median.h"
#include "cuda/device.h"

namespace sotto {
namespace {

constexpr double kRoundSeconds = 2e-3;  // long against the clock's grain and one interrupt
// Far more than the caches of a processor or a GPU hold, and a square that keeps all its cores busy.
constexpr int64_t kCopyFloats = 1 << 26, kCudaCopyFloats = 1 << 28, kSquare = 2048, kCudaSquare = 8192;

using Work = std::function<void()>;

double seconds_of(const Work& work, int64_t repeats, const Exec& exec) {
  synchronise(exec);
  const auto start = std::chrono::steady_clock::now();
  for (int64_t k = 0; k < repeats; ++k) work();
  synchronise(exec);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Calls that last a round; also the warm-up. Of three tries the shortest must: a thread that lost its core for a while
// says nothing about the work.
int64_t repeats_of(const Work& work, const Exec& exec) {
  for (int64_t repeats = 1;;) {
    double seconds = seconds_of(work, repeats, exec);
    for (int again = 0; again < 2 && seconds >= kRoundSeconds; ++again)
      seconds = std::min(seconds, seconds_of(work, repeats, exec));
    if (seconds >= kRoundSeconds) return repeats;
    const double wanted = 1.2 * kRoundSeconds / std::max(seconds, 1e-9) * double(repeats);
    repeats = std::clamp(static_cast<int64_t>(std::min(wanted, 1e9)), repeats + 1, 10 * repeats);
  }
}

double best_seconds(const Work& work, int64_t rounds, const Exec& exec) {
  const int64_t repeats = repeats_of(work, exec);
  double best = std::numeric_limits<double>::infinity();
  for (int64_t round = 0; round < rounds; ++round)
    best = std::min(best, seconds_of(work, repeats, exec) / double(repeats));
  return best;
}

// POSIX's extended ones: std::regex of g++ 12 does not compile under the sanitizers with warnings as errors.
class Pattern {
 public:
  explicit Pattern(const std::string& text) {
    if (text.empty()) return;  // POSIX leaves it undefined; here it is in everything
    if (const int status = regcomp(&compiled_, text.c_str(), REG_EXTENDED | REG_NOSUB)) {
      char reason[128];
      regerror(status, &compiled_, reason, sizeof reason);
      throw Error(ErrorKind::configuration, cat("--filter ", text, " is not a regular expression: ", reason));
    }
    used_ = true;
  }
  ~Pattern() {
    if (used_) regfree(&compiled_);
  }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;
  bool is_in(const std::string& name) const { return !used_ || regexec(&compiled_, name.c_str(), 0, nullptr, 0) == 0; }

 private:
  regex_t compiled_;
  bool used_ = false;
};

}  // namespace

std::string name_of(const RooflineCase& one) {
  std::string name = one.kernel;
  for (const auto& [letter, size] : one.shape) name += cat(" ", letter, "=", size);
  return name;
}

std::vector<RooflineCase> roofline_cases() {
  std::vector<RooflineCase> all;
  for (const auto cases : {norm_contests, sum_contests, ragged_contests, layer_contests, recurrent_contests,
                           lattice_contests, noise_contests})
    for (RooflineCase& one : cases()) all.push_back(std::move(one));
  return all;
}

std::vector<RooflineCase> chosen_cases(const RooflineOptions& options) {
  const Pattern filter(options.filter);
  std::vector<RooflineCase> chosen;
  std::set<std::string> kernels;
  for (RooflineCase& one : roofline_cases()) {
    if (!(options.on_cuda ? one.on_cuda : one.on_cpu)) continue;
    kernels.insert(one.kernel);
    if (filter.is_in(name_of(one))) chosen.push_back(std::move(one));
  }
  if (!chosen.empty()) return chosen;
  std::string list;
  for (const std::string& kernel : kernels) list += "\n  " + kernel;
  throw Error(ErrorKind::configuration,
              cat("--filter ", options.filter, " matches no kernel; on ", options.on_cuda ? "cuda" : "cpu",
                  " there are:", list, "\neach followed by its shape, as in \"accumulate_row_norms B=64 P=1000\""));
}

double disagreement(const Tensors& a, const Tensors& b) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (a.size() != b.size()) return infinity;
  double most = 0;
  for (size_t k = 0; k < a.size(); ++k) {
    if (a[k].numel() != b[k].numel()) return infinity;
    const at::Tensor left = a[k].detach().to(at::kCPU, at::kDouble).flatten(),
                     right = b[k].detach().to(at::kCPU, at::kDouble).flatten();
    const double apart = at::sub(left, right).abs().max().item<double>(), size = right.abs().max().item<double>();
    if (!std::isfinite(apart)) return infinity;
    if (apart > 0) most = std::max(most, size > 0 ? apart / size : infinity);
  }
  return most;
}

void place_under(const Roofs& roofs, RooflineRow& row) {
  const double seconds = row.time_ms / 1e3;
  const double moving = row.bytes / roofs.copy_bytes_per_second, computing = row.flops / roofs.matmul_flops_per_second;
  row.speedup = row.composite_ms / row.time_ms;
  row.gigabytes_per_second = row.bytes / seconds / 1e9;
  row.gigaflops = row.flops / seconds / 1e9;
  row.percent_of_copy = 100 * moving / seconds;
  row.percent_of_matmul = 100 * computing / seconds;
  row.floor_ms = 1e3 * std::max(moving, computing);
  row.percent_of_floor = 100 * row.floor_ms / row.time_ms;
  row.bound = moving >= computing ? "memory" : "compute";
}

RooflineRow hold(const RooflineCase& one, const Site& site, const Roofs& roofs, int64_t rounds) {
  require(rounds >= 1, "--rounds must be at least 1, got ", rounds);
  const at::NoGradGuard no_gradient;
  const Contest contest = one.make(site);
  const auto [ours, theirs] = contest.compared ? contest.compared() : std::pair(contest.sotto(), contest.composite());
  RooflineRow row;
  row.kernel = one.kernel;
  row.folder = one.folder;
  row.shape = one.shape;
  row.composite = one.composite;
  row.disagreement = disagreement(ours, theirs);
  if (!(row.disagreement <= one.tolerance))
    throw Error(ErrorKind::internal,
                cat(name_of(one), ": sotto and the composite (", one.composite, ") differ by ", row.disagreement,
                    " of the largest entry, more than ", one.tolerance, "; nothing was timed"));
  const Work sotto = [&] { contest.sotto(); }, composite = [&] { contest.composite(); };
  const int64_t repeats = repeats_of(sotto, site.exec), composite_repeats = repeats_of(composite, site.exec);
  std::vector<double> times, composite_times;
  for (int64_t round = 0; round < rounds; ++round) {
    times.push_back(seconds_of(sotto, repeats, site.exec) / double(repeats));
    composite_times.push_back(seconds_of(composite, composite_repeats, site.exec) / double(composite_repeats));
  }
  row.time_ms = 1e3 * median(times);
  row.composite_ms = 1e3 * median(composite_times);
  row.bytes = one.bytes;
  row.flops = one.flops;
  place_under(roofs, row);
  return row;
}

Roofs measure_roofs(const Site& site, int64_t rounds) {
  require(rounds >= 1, "--rounds must be at least 1, got ", rounds);
  const at::NoGradGuard no_gradient;
  Roofs roofs;
  {
    const at::Tensor from = site.zeros({site.exec.on_cuda() ? kCudaCopyFloats : kCopyFloats}).fill_(1);
    const at::Tensor to = at::zeros_like(from);
    roofs.copy_bytes = 2 * int64_t(from.nbytes());
    roofs.copy_bytes_per_second = double(roofs.copy_bytes) / best_seconds([&] { to.copy_(from); }, rounds, site.exec);
  }
  roofs.matmul_size = site.exec.on_cuda() ? kCudaSquare : kSquare;
  const int64_t n = roofs.matmul_size;
  const at::Tensor a = site.normals({n, n}, 1), b = site.normals({n, n}, 2);
  at::Tensor product = site.zeros({n, n});
  roofs.matmul_flops_per_second =
      2 * std::pow(double(n), 3) / best_seconds([&] { at::mm_out(product, a, b); }, rounds, site.exec);
  return roofs;
}

Roofline measure_roofline(const RooflineOptions& options, const RooflineProgress& progress) {
  const std::vector<RooflineCase> cases = chosen_cases(options);
  const Site site = open_site(options.on_cuda, options.threads);
  const auto total = static_cast<int64_t>(cases.size()) + 1;
  progress(0, total, "copy and matmul");
  Roofline made{measure_roofs(site, options.rounds), {}};
  for (const RooflineCase& one : cases) {
    progress(1 + static_cast<int64_t>(made.rows.size()), total, name_of(one));
    made.rows.push_back(hold(one, site, made.roofs, options.rounds));
  }
  progress(total, total, "done");
  return made;
}

}  // namespace sotto
