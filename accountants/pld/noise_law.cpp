#include "accountants/pld/noise_law.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "accountants/pld/allocation_curve_law.h"
#include "accountants/pld/few_outcomes_law.h"
#include "accountants/pld/near_law.h"
#include "accountants/pld/random_allocation_law.h"
#include "accountants/pld/sampled_gaussian_law.h"
#include "accountants/pld/two_sided_law.h"
#include "accountants/pld/upper_bound_law.h"

namespace sotto::accountants {
namespace {

// Beyond these the grid's arithmetic would leave the range of doubles; less noise and more sampling only cost more.
constexpr double kLeastNoise = 1e-100, kMostNoise = 1e50, kLeastRate = 1e-100;
// Losses of 1e-18 a use are beneath the rounding of those of others; the same holds, and only the upper bound is kept.
constexpr double kMostCutNoise = 1e9, kLeastCutRate = 1e-9;
constexpr double kMostPure = 250;  // losses beyond 300 count as infinite
constexpr double kLeastPromise = 1e-9;
constexpr double kMostOutputs = 1 << 20;
constexpr double kGaussianReach = 76;  // both tails, in σ

using Law = std::shared_ptr<const LossLaw>;
using Cells = std::shared_ptr<const CellLaw>;

Law all_told() {
  return FewOutcomesLaw::epsilon_delta(0, 1);
}

// The noise of |x| ≤ bound that moved lands outside, where it tells all; elsewhere the loss is at most apart / scale.
EpsilonDelta truncated(const Noise& noise, double apart) {
  const double scale = noise.scale / apart, bound = noise.bound / apart;
  if (scale < kLeastNoise || bound <= 0.5) return {0, 1};
  const double inside = -2 * std::expm1(-bound / scale), tail = std::exp(-bound / scale), kept = bound - 1;
  const double outside =
      kept >= 0 ? (std::exp(-kept / scale) - tail) / inside : 1 - (std::exp(kept / scale) - tail) / inside;
  return {1 / scale * (1 + 1e-12), std::min(1.0, outside * (1 + 1e-12))};
}

bool exponential(NoiseShape shape) {
  return shape == NoiseShape::laplace || shape == NoiseShape::truncated_laplace ||
         shape == NoiseShape::discrete_laplace;
}

// What is in order to be cut up, or what to take instead.
struct Fit {
  bool cut;  // false: `instead`, null where there is none
  Law instead;
  double scale;
  bool attained;  // the scale is the noise's own
};

// `apart`: the outermost centres; `gap`: neighbouring ones.
Fit fit(const Noise& noise, double apart, double gap, double rate) {
  const bool skellam = noise.shape == NoiseShape::skellam, cut_off = noise.shape == NoiseShape::truncated_laplace;
  const double deviation = skellam ? std::sqrt(noise.scale) : noise.scale;
  if (deviation < kLeastNoise * apart) return {false, all_told(), 0, false};
  if (cut_off &&
      (2 * noise.bound <= gap * (1 + 1e-9) || apart > kMostPure * noise.scale || noise.scale > kMostCutNoise * apart))
    return {false, at_most(truncated(noise, apart), rate), 0, false};
  if (exponential(noise.shape) && apart > kMostPure * noise.scale)
    return {false, at_most({apart / noise.scale * (1 + 1e-12), 0}), 0, false};
  const double scale = cut_off || skellam ? noise.scale : std::min(noise.scale, kMostCutNoise * apart);
  if (skellam) {
    if (deviation > kMostOutputs / kGaussianReach) return {false, nullptr, 0, false};
    const double reach = SkellamMasses::reach_of(noise.scale);
    if (2 * apart > reach) return {false, all_told(), 0, false};
    if (2 * reach > kMostOutputs) return {false, nullptr, 0, false};
  } else if (noise.shape >= NoiseShape::discrete_gaussian) {
    const double outputs = apart + (exponential(noise.shape) ? 0 : kGaussianReach * scale);
    if (outputs > kMostOutputs) return {false, nullptr, 0, false};
  }
  return {true, nullptr, scale, scale == noise.scale};
}

Cells cells(const Noise& noise, double scale, std::vector<Shift> shifts, std::optional<double> anchor = {}) {
  return std::make_shared<ShiftedNoiseLaw>(noise.shape, scale, std::move(shifts), noise.bound, anchor);
}

Law bounded(const Cells& law, bool attained) {
  return attained ? Law(law) : std::make_shared<UpperBoundLaw>(law);
}

// One that moves it by `apart` with probability `rate`.
std::vector<Shift> there_or_not(double apart, double rate) {
  return rate == 1 ? std::vector<Shift>{{0, 0, 1}, {apart, 1, 0}}
                   : std::vector<Shift>{{0, 1 - rate, 1}, {apart, rate, 0}};
}

// Two bounds where they differ, else one law.
template <class MakeShifts>
Law from_both_sides(const Noise& noise, const Fit& fitting, bool attained, const MakeShifts& shifts) {
  if (!attained || noise.attained_shift == noise.shift)
    return bounded(cells(noise, fitting.scale, shifts(noise.shift)), attained);
  return std::make_shared<TwoSidedLaw>(cells(noise, fitting.scale, shifts(noise.shift), 0.0),
                                       cells(noise, fitting.scale, shifts(noise.attained_shift), 0.0));
}

struct NoiseOf {
  template <class Mechanism>
  std::optional<Noise> operator()(const Mechanism&) const {
    return std::nullopt;
  }
  std::optional<Noise> operator()(const Gaussian& e) const {
    return Noise{NoiseShape::gaussian, e.noise_multiplier, 1, 1, 0};
  }
  std::optional<Noise> operator()(const Laplace& e) const {
    return Noise{NoiseShape::laplace, e.noise_multiplier, 1, 1, 0};
  }
  std::optional<Noise> operator()(const TruncatedLaplace& e) const {
    return Noise{NoiseShape::truncated_laplace, e.noise_multiplier, 1, 1, e.bound_multiplier};
  }
  std::optional<Noise> operator()(const DiscreteLaplace& e) const {
    const auto shift = static_cast<double>(e.sensitivity);
    return Noise{NoiseShape::discrete_laplace, e.scale, shift, shift, 0};
  }
  std::optional<Noise> operator()(const DiscreteGaussian& e) const {
    const auto shift = static_cast<double>(e.sensitivity);
    return Noise{NoiseShape::discrete_gaussian, e.sigma, shift, shift, 0};
  }
  std::optional<Noise> operator()(const Skellam& e) const {
    const double square = e.l2_sensitivity * e.l2_sensitivity * (1 + 1e-12);
    return Noise{NoiseShape::skellam, e.variance, std::min(std::floor(e.l1_sensitivity), std::floor(square)),
                 std::floor(e.l2_sensitivity), 0};
  }
};

}  // namespace

std::optional<Noise> noise_of(const Event& event) {
  return std::visit(NoiseOf{}, event.mechanism);
}

Law at_most(const EpsilonDelta& promise, double rate) {
  if (promise.epsilon >= 1 / kLeastNoise || (promise.delta >= 1 && rate == 1)) return all_told();
  // A law without any loss would be taken for exact.
  double epsilon = std::max(promise.epsilon, kLeastPromise);
  if (rate < 1 && epsilon <= kMostPure) epsilon = std::log1p(rate * std::expm1(epsilon)) * (1 + 1e-12);
  const double delta = rate < 1 ? std::min(1.0, rate * promise.delta * (1 + 1e-12)) : promise.delta;
  return std::make_shared<UpperBoundLaw>(FewOutcomesLaw::epsilon_delta(epsilon, delta));
}

Law poisson_sampled_law(const Noise& noise, double rate, NeighbouringRelation relation) {
  if (noise.shift == 0) return FewOutcomesLaw::epsilon_delta(0, 0);
  const bool replaced = relation == NeighbouringRelation::replace_one, three = replaced && rate < 1;
  if (noise.shape == NoiseShape::gaussian && !three) {
    if (noise.scale < kLeastNoise) return all_told();
    const double sigma = std::min(noise.scale, kMostNoise);
    // Whoever joins is told of: by losses above kMostPure, but for 1e-15 of the outputs.
    if (rate < 1 && (0.5 / sigma - 8) / sigma + std::log(rate) > kMostPure) return at_most({0, 1}, rate);
    return std::make_shared<SampledGaussianLaw>(replaced ? sigma / 2 : sigma, std::max(rate, kLeastRate));
  }
  const double times = replaced ? 2 : 1;
  const Fit fitting = fit(noise, times * noise.shift, three ? noise.shift : times * noise.shift, rate);
  if (!fitting.cut) return fitting.instead;
  const bool attained = fitting.attained && rate >= kLeastCutRate;
  rate = std::max(rate, kLeastCutRate);
  return from_both_sides(noise, fitting, attained, [&](double shift) {
    return three ? std::vector<Shift>{{-shift, 0, rate}, {0, 1 - rate, 1 - rate}, {shift, rate, 0}}
                 : there_or_not(times * shift, rate);
  });
}

Law lattice_gaussian_law(double noise_multiplier, double sigma, double rate, NeighbouringRelation relation) {
  constexpr double kApart = 2e-30, kMostUnlike = 1e-9, kLeastRatio = 4, kPi = std::numbers::pi;
  const double moved = sigma / noise_multiplier;  // at most, in lattice points
  if (rate == 0 || moved < 1 - 1e-12) return FewOutcomesLaw::epsilon_delta(0, 0);
  if (!(noise_multiplier >= kLeastNoise)) return all_told();
  // 2 entries · (η(s) + η(σ)) · 1.01 ≤ e^−70 · 4.5 < kApart
  const double squared = (std::log(2 * std::max(moved, 1.0)) * 2 + 70) / (2 * kPi * kPi);  // s²
  const double variance = sigma * sigma;
  if (!(variance >= kLeastRatio * squared)) return nullptr;
  const double less = noise_multiplier * std::sqrt(1 - squared / variance) * (1 - 1e-15);
  // The factor's parameter is σs / √(σ² + s²) where s² is what is added.
  const double added = squared / (1 - squared / variance);
  const double more = std::sqrt(variance + added) / std::floor(moved) * (1 + 1e-15);
  const bool three = relation == NeighbouringRelation::replace_one && rate < 1;
  const double times = relation == NeighbouringRelation::replace_one ? 2 : 1;
  const Noise noise{NoiseShape::gaussian, less, 1, 1, 0};
  if (less < kLeastNoise || (rate < 1 && (0.5 / less - 8) / less + std::log(rate) > kMostPure))
    return poisson_sampled_law(noise, rate, relation);
  const Fit fitting = fit(noise, times, three ? 1 : times, rate);
  // N(c, σ² − s²) and N(c, σ² + s²) by their standard deviations: that law's grids end 42 of them from either centre.
  const double centre = times / less, unlike = centre * (1 - less / more + 1e-15) * (42 + 2 * centre) + kApart;
  if (!three && fitting.attained && rate >= kLeastCutRate && unlike <= kMostUnlike)
    return std::make_shared<NearLaw>(std::make_shared<SampledGaussianLaw>(less / times, rate), unlike);
  const auto around = [&](double scale) {
    const double joins = std::max(rate, kLeastCutRate);
    return cells(noise, scale,
                 three ? std::vector<Shift>{{-1, 0, joins}, {0, 1 - joins, 1 - joins}, {1, joins, 0}}
                       : there_or_not(times, joins),
                 0.0);
  };
  const bool attained = fitting.attained && rate >= kLeastCutRate && more <= kMostCutNoise;
  const Law both = std::make_shared<NearLaw>(
      std::make_shared<TwoSidedLaw>(around(fitting.scale), around(attained ? more : fitting.scale)), kApart);
  return attained ? both : std::make_shared<UpperBoundLaw>(both);
}

Law fixed_size_law(const Noise& noise, double rate, NeighbouringRelation relation) {
  if (noise.shift == 0) return FewOutcomesLaw::epsilon_delta(0, 0);
  if (rate == 1) return poisson_sampled_law(noise, 1, relation);
  const Fit fitting = fit(noise, 2 * noise.shift, 2 * noise.shift, rate);
  if (!fitting.cut) return fitting.instead;
  const bool attained = fitting.attained && rate >= kLeastCutRate;
  rate = std::max(rate, kLeastCutRate);
  const auto shifts = [&](double shift) { return there_or_not(2 * shift, rate); };
  if (relation == NeighbouringRelation::add_remove) return from_both_sides(noise, fitting, attained, shifts);
  const auto above = std::make_shared<MirroredLaw>(cells(noise, fitting.scale, shifts(noise.shift), 0.0));
  if (!attained) return std::make_shared<UpperBoundLaw>(above);
  const double times = relation == NeighbouringRelation::replace_one ? 1 : 0.5;
  return std::make_shared<TwoSidedLaw>(above, cells(noise, fitting.scale, shifts(times * noise.attained_shift), 0.0));
}

Law with_replacement_law(const Noise& noise, double draws, double population, NeighbouringRelation relation) {
  constexpr size_t kMostTimes = 60;
  constexpr double kNegligible = 1e-25;
  if (relation != NeighbouringRelation::add_remove || population < 2) return nullptr;
  if (noise.shift == 0) return FewOutcomesLaw::epsilon_delta(0, 0);
  std::vector<double> times;  // P(k)
  double mass = std::exp(draws * std::log1p(-1 / population));
  for (double k = 0; k <= draws && times.size() <= kMostTimes && (mass > kNegligible || k * population < draws); ++k) {
    times.push_back(mass);
    mass *= (draws - k) / (k + 1) / (population - 1);
  }
  if (mass > kNegligible || times.size() < 2) return nullptr;
  const double most = static_cast<double>(times.size() - 1), apart = 2 * noise.shift * most;
  const Fit fitting = fit(noise, apart, 2 * noise.shift, 1);
  if (!fitting.cut) return fitting.instead;
  std::vector<Shift> shifts;
  for (size_t k = 0; k < times.size(); ++k)
    shifts.push_back({2 * noise.shift * static_cast<double>(k), times[k], k == 0 ? 1.0 : 0.0});
  // The terms left out fall by more than half each.
  return bounded(std::make_shared<ShiftedNoiseLaw>(noise.shape, fitting.scale, shifts, noise.bound, std::nullopt,
                                                   2 * mass + std::numeric_limits<double>::min()),
                 fitting.attained && noise.attained_shift == noise.shift);
}

namespace {

// The mean of all uses' outputs is Gaussian noise: `times` of this law are what it tells of a unit in `times` of them.
Cells mean_of_uses(const Noise& noise, int64_t steps, int64_t times, NeighbouringRelation relation) {
  const double apart = relation == NeighbouringRelation::replace_one ? 2 : 1;
  const double scale = noise.scale * std::sqrt(static_cast<double>(steps) / static_cast<double>(times)) * (1 + 1e-15);
  if (noise.shape != NoiseShape::gaussian || scale > kMostCutNoise || scale < 0.1) return nullptr;
  return cells(noise, scale, there_or_not(apart, 1), 0.0);
}

Law both(const Cells& above, const Cells& below) {
  if (below == nullptr) return std::make_shared<UpperBoundLaw>(above);
  return std::make_shared<TwoSidedLaw>(above, below);
}

// One of `steps`, as a law whose levels are counted from 0, null where none is better than that of a known one.
Cells one_allocated(const Noise& noise, int64_t steps, NeighbouringRelation relation) {
  constexpr int64_t kMostSteps = 100'000'000;
  constexpr double kSmallNoise = 0.65;
  if (steps > kMostSteps) return nullptr;
  if (relation == NeighbouringRelation::replace_one) return allocation_replaced_law(noise, steps);
  if (noise.shape == NoiseShape::gaussian && noise.scale < kSmallNoise * noise.shift)
    return allocation_removed_law(noise, steps);
  const Fit fitting = fit(noise, noise.shift, noise.shift, 1);
  if (!fitting.cut || !fitting.attained) return nullptr;
  const Cells one = cells(noise, fitting.scale, there_or_not(noise.shift, 1));
  if (!RandomAllocationLaw::fits(*one, steps)) return nullptr;
  return std::make_shared<RandomAllocationLaw>(one, steps);
}

}  // namespace

Law random_allocation_law(const Noise& noise, int64_t steps, NeighbouringRelation relation) {
  const Law known = poisson_sampled_law(noise, 1, relation);
  if (known == nullptr || noise.shift == 0 || steps == 1) return known;
  const Cells one = one_allocated(noise, steps, relation);
  if (one == nullptr) return std::make_shared<UpperBoundLaw>(known);
  const bool attains = dynamic_cast<const RandomAllocationLaw*>(one.get()) != nullptr;
  if (attains && noise.attained_shift == noise.shift) return one;
  return both(one, mean_of_uses(noise, steps, 1, relation));
}

LawUses random_allocations_law(const Noise& noise, int64_t steps, int64_t selected, NeighbouringRelation relation) {
  if (selected == 1) return {random_allocation_law(noise, steps, relation), 1};
  const Law known = poisson_sampled_law(noise, 1, relation);
  if (selected == steps || known == nullptr || noise.shift == 0) return {known, selected};
  const int64_t each = steps / selected;
  const Cells one = each > 1 ? one_allocated(noise, each, relation) : nullptr;
  if (one == nullptr) return {std::make_shared<UpperBoundLaw>(known), selected};
  const Cells below = one->anchor() == 0 ? mean_of_uses(noise, steps, selected, relation) : nullptr;
  return {both(one, below), selected};
}

}  // namespace sotto::accountants
