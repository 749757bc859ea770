#include "accountants/pld/pld_accountant.h"

#include <algorithm>
#include <cmath>

#include "accountants/pld/analytic_gaussian.h"
#include "accountants/pld/event_law.h"
#include "accountants/pld/numerics.h"
#include "accountants/pld/sampled_gaussian_law.h"
#include "accountants/rdp/rdp_accountant.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kSumOfPrecisions = 1e-13;  // relative rounding of μ
constexpr double kMostNoise = 1e50;         // squares must stay doubles; less noise only costs more
constexpr double kSmallest = std::numeric_limits<double>::min();

// σ ÷ what neighbours differ by, 0 for anything but a Gaussian in which every unit takes part.
double gaussian_noise(const Event& event, NeighbouringRelation relation) {
  double noise = 0;
  if (const auto* plain = std::get_if<Gaussian>(&event.mechanism)) noise = plain->noise_multiplier;
  if (const auto* sampled = std::get_if<PoissonSampledGaussian>(&event.mechanism))
    noise = sampled->sample_rate == 1 ? sampled->noise_multiplier : 0;
  return std::min(kMostNoise, relation == NeighbouringRelation::replace_one ? noise / 2 : noise);
}

}  // namespace

bool PldAccountant::supports(const Event& event, NeighbouringRelation relation) const {
  return uses_of_law(event, relation).law != nullptr;
}

void PldAccountant::add(const Event& event, int64_t count) {
  if (const auto* sampled = std::get_if<PoissonSampledGaussian>(&event.mechanism))
    if (sampled->sample_rate == 0) return;
  const auto [law, times] = uses_of_law(event, relation());
  require(count <= (int64_t{1} << 53) / times, "more than 2^53 uses of ", to_json(event));
  Part part{to_json(event), event, law, gaussian_noise(event, relation()), count, times};
  const auto place = std::lower_bound(parts_.begin(), parts_.end(), part.key,
                                      [](const Part& a, const std::string& key) { return a.key < key; });
  if (place != parts_.end() && place->key == part.key) {
    require(count <= (int64_t{1} << 53) / times - place->count, "more than 2^53 uses of ", part.key);
    place->count += count;
  } else {
    parts_.insert(place, std::move(part));
  }
}

bool PldAccountant::unbounded() const {
  return std::any_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.law->at_infinity() == 1; });
}

double PldAccountant::gaussian_precision() const {
  double precision = 0;
  for (const Part& part : parts_)
    if (part.gaussian_noise > 0)
      precision += static_cast<double>(part.count) / part.gaussian_noise / part.gaussian_noise;
  return precision;
}

bool PldAccountant::gaussian_alone() const {
  return std::all_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.gaussian_noise > 0; }) &&
         gaussian_precision() > 0;
}

std::vector<LawUses> PldAccountant::uses() const {
  std::vector<LawUses> found;
  for (const Part& part : parts_)
    if (part.gaussian_noise == 0) found.push_back({part.law, part.count * part.times});
  if (const double precision = gaussian_precision(); precision > 0)
    found.push_back({std::make_shared<SampledGaussianLaw>(1 / std::sqrt(precision), 1), 1});
  return found;
}

double PldAccountant::certain_disclosure() const {
  double sum = kSmallest;
  for (const Part& part : parts_)
    sum += static_cast<double>(part.count * part.times) * part.law->at_infinity() * (1 + 1e-9);
  return std::min(1.0, sum);
}

std::unique_ptr<Accountant> PldAccountant::rdp() const {
  auto accountant = std::make_unique<RdpAccountant>(relation());
  for (const Part& part : parts_) {
    if (!accountant->supports(part.event, relation())) return nullptr;
    accountant->compose(part.event, part.count);
  }
  return accountant;
}

Bracket PldAccountant::epsilon_at(double delta) const {
  if (parts_.empty()) return {0, 0};
  if (unbounded()) return {0, kInfinity};
  if (gaussian_alone()) {
    if (delta < kSmallest) return {0, kInfinity};
    const double mu = std::sqrt(gaussian_precision());
    return {gaussian_epsilon(mu * (1 - kSumOfPrecisions), delta).lower,
            gaussian_epsilon(mu * (1 + kSumOfPrecisions), delta).upper};
  }
  const auto all = uses();
  if (delta < kSmallest) return {0, most_loss(all)};
  Bracket found = accountants::epsilon_bracket(all, delta, limits_);
  if (found.upper - found.lower > limits_.relative_gap * found.upper || std::isinf(found.upper)) {
    if (const auto other = rdp()) found.upper = std::min(found.upper, other->epsilon(delta));
    // What the plain Gaussians alone release costs no more than all.
    if (const double mu = std::sqrt(gaussian_precision()); mu > 0)
      found.lower = std::max(found.lower, gaussian_epsilon(mu * (1 - kSumOfPrecisions), delta).lower);
  }
  return found;
}

Bracket PldAccountant::delta_at(double epsilon) const {
  if (parts_.empty()) return {0, 0};
  if (unbounded()) return {0, 1};
  if (gaussian_alone()) {
    if (std::isinf(epsilon)) return {0, kSmallest};
    const double mu = std::sqrt(gaussian_precision());
    return {gaussian_delta(mu * (1 - kSumOfPrecisions), epsilon).lower,
            gaussian_delta(mu * (1 + kSumOfPrecisions), epsilon).upper};
  }
  const auto all = uses();
  if (epsilon >= most_loss(all)) return {0, 0};
  if (std::isinf(epsilon)) return {0, certain_disclosure()};
  Bracket found = accountants::delta_bracket(all, epsilon, limits_);
  if (found.upper - found.lower > limits_.relative_gap * found.upper) {
    if (const auto other = rdp()) found.upper = std::min(found.upper, other->delta(epsilon));
    if (const double mu = std::sqrt(gaussian_precision()); mu > 0)
      found.lower = std::max(found.lower, gaussian_delta(mu * (1 - kSumOfPrecisions), epsilon).lower);
  }
  found.upper = std::max(found.upper, kSmallest);  // exp may have underflowed
  return found;
}

}  // namespace sotto::accountants
