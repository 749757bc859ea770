#include "accountants/pld/pld_accountant.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "accountants/pld/analytic_gaussian.h"
#include "accountants/pld/numerics.h"
#include "accountants/rdp/rdp_accountant.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

// Beyond these the grid's arithmetic would leave the range of doubles; less noise and more sampling only cost more.
constexpr double kMostNoise = 1e50, kLeastRate = 1e-100;
constexpr double kSumOfPrecisions = 1e-13;  // relative rounding of μ

}  // namespace

bool PldAccountant::supports(const Event& event, NeighbouringRelation relation) const {
  if (std::holds_alternative<Gaussian>(event.mechanism)) return true;
  return relation != NeighbouringRelation::replace_one &&
         std::holds_alternative<PoissonSampledGaussian>(event.mechanism);
}

void PldAccountant::add(const Event& event, int64_t count) {
  Part part{0, 1, count};
  if (const auto* sampled = std::get_if<PoissonSampledGaussian>(&event.mechanism)) {
    part.noise_multiplier = sampled->noise_multiplier;
    part.sample_rate = sampled->sample_rate;
  } else {
    part.noise_multiplier = std::get<Gaussian>(event.mechanism).noise_multiplier;
    // Replacing a unit moves the sum by 2C, the noise multiplier is in units of C.
    if (relation() == NeighbouringRelation::replace_one) part.noise_multiplier /= 2;
  }
  if (part.sample_rate == 0) return;
  const auto key = [](const Part& each) { return std::tuple(each.sample_rate, each.noise_multiplier); };
  const auto place = std::lower_bound(parts_.begin(), parts_.end(), part,
                                      [&](const Part& a, const Part& b) { return key(a) < key(b); });
  if (place != parts_.end() && key(*place) == key(part)) {
    require(count <= (int64_t{1} << 53) - place->count, "more than 2^53 uses of ", to_json(event));
    place->count += count;
  } else {
    parts_.insert(place, part);
  }
}

bool PldAccountant::unbounded() const {
  return std::any_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.noise_multiplier < 1e-100; });
}

// All Gaussians without sampling are one with 1/σ² = Σ n/σ².
std::vector<SampledGaussianUses> PldAccountant::uses() const {
  std::vector<SampledGaussianUses> found;
  double precision = 0;
  for (const Part& part : parts_) {
    const double sigma = std::min(part.noise_multiplier, kMostNoise);
    if (part.sample_rate == 1)
      precision += static_cast<double>(part.count) / sigma / sigma;
    else
      found.push_back({{sigma, std::max(part.sample_rate, kLeastRate)}, part.count});
  }
  if (precision > 0) found.push_back({{1 / std::sqrt(precision), 1}, 1});
  return found;
}

std::unique_ptr<Accountant> PldAccountant::rdp() const {
  auto accountant = std::make_unique<RdpAccountant>(NeighbouringRelation::add_remove);
  for (const Part& part : parts_)
    accountant->compose({PoissonSampledGaussian{part.noise_multiplier, part.sample_rate}}, part.count);
  return accountant;
}

Bracket PldAccountant::epsilon_at(double delta) const {
  if (parts_.empty()) return {0, 0};
  if (delta < std::numeric_limits<double>::min()) return {0, kInfinity};
  if (unbounded()) return {0, kInfinity};
  const auto all = uses();
  const bool plain = all.size() == 1 && all.front().law.q == 1;
  if (plain) {
    const double mu = 1 / all.front().law.sigma;
    return {gaussian_epsilon(mu * (1 - kSumOfPrecisions), delta).lower,
            gaussian_epsilon(mu * (1 + kSumOfPrecisions), delta).upper};
  }
  Bracket found = accountants::epsilon_bracket(all, delta, limits_);
  if (found.upper - found.lower > limits_.relative_gap * found.upper || std::isinf(found.upper))
    found.upper = std::min(found.upper, rdp()->epsilon(delta));
  return found;
}

Bracket PldAccountant::delta_at(double epsilon) const {
  if (parts_.empty()) return {0, 0};
  if (unbounded()) return {0, 1};
  if (std::isinf(epsilon)) return {0, std::numeric_limits<double>::min()};
  const auto all = uses();
  const bool plain = all.size() == 1 && all.front().law.q == 1;
  if (plain) {
    const double mu = 1 / all.front().law.sigma;
    return {gaussian_delta(mu * (1 - kSumOfPrecisions), epsilon).lower,
            gaussian_delta(mu * (1 + kSumOfPrecisions), epsilon).upper};
  }
  Bracket found = accountants::delta_bracket(all, epsilon, limits_);
  if (found.upper - found.lower > limits_.relative_gap * found.upper)
    found.upper = std::min(found.upper, rdp()->delta(epsilon));
  found.upper = std::max(found.upper, std::numeric_limits<double>::min());  // exp may have underflowed
  return found;
}

}  // namespace sotto::accountants
