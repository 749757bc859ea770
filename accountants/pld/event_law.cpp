#include "accountants/pld/event_law.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "accountants/pld/few_outcomes_law.h"
#include "accountants/pld/numerics.h"
#include "accountants/pld/sampled_gaussian_law.h"
#include "accountants/pld/shifted_noise_law.h"
#include "accountants/pld/upper_bound_law.h"
#include "accountants/pure_dp.h"

namespace sotto::accountants {
namespace {

// Beyond these the grid's arithmetic would leave the range of doubles; less noise and more sampling only cost more.
constexpr double kLeastNoise = 1e-100, kMostNoise = 1e50, kLeastRate = 1e-100;
// Losses of 1e-18 a use are beneath the rounding of those of others; the same holds, and only the upper bound is kept.
constexpr double kMostCutNoise = 1e9, kLeastCutRate = 1e-9;
constexpr double kMostPure = 250;  // losses beyond 300 count as infinite
constexpr double kMostOutputs = 1 << 20;
constexpr double kGaussianReach = 76;  // both tails, in σ

using Law = std::shared_ptr<const LossLaw>;

Law all_told() {
  return FewOutcomesLaw::epsilon_delta(0, 1);
}

Law at_most(double epsilon, double delta = 0) {
  if (epsilon >= 1 / kLeastNoise || delta >= 1) return all_told();
  return std::make_shared<UpperBoundLaw>(FewOutcomesLaw::epsilon_delta(epsilon, delta));
}

// The noise of |x| ≤ bound that moved by 1 lands outside, where it tells all; elsewhere the loss is at most 1 / scale.
EpsilonDelta truncated(double scale, double bound) {
  if (scale < kLeastNoise || bound <= 0.5) return {0, 1};
  const double inside = -2 * std::expm1(-bound / scale), tail = std::exp(-bound / scale), kept = bound - 1;
  const double outside =
      kept >= 0 ? (std::exp(-kept / scale) - tail) / inside : 1 - (std::exp(kept / scale) - tail) / inside;
  return {1 / scale * (1 + 1e-12), std::min(1.0, outside * (1 + 1e-12))};
}

// The (ε, δ) of a mechanism, rounded up, where one is known: every ε is there for any δ, this one has the least.
std::optional<EpsilonDelta> epsilon_delta_of(const Event& event, NeighbouringRelation relation) {
  if (const auto* known = std::get_if<EpsilonDelta>(&event.mechanism)) return *known;
  if (const auto* cut = std::get_if<TruncatedLaplace>(&event.mechanism)) {
    const double moved = relation == NeighbouringRelation::replace_one ? 2 : 1;
    return truncated(cut->noise_multiplier / moved, cut->bound_multiplier / moved);
  }
  if (const auto pure = pure_dp(event, relation)) return EpsilonDelta{pure->epsilon, 0};
  return std::nullopt;
}

struct Noise {
  NoiseShape shape;
  double scale, shift;
};

// A unit moves noise by `shift`: there with probability `rate`, and replaced by one that moves it the other way.
Law moved(const Noise& noise, double rate, NeighbouringRelation relation) {
  const bool laplace = noise.shape == NoiseShape::laplace || noise.shape == NoiseShape::discrete_laplace;
  const bool discrete = noise.shape == NoiseShape::discrete_laplace || noise.shape == NoiseShape::discrete_gaussian;
  if (noise.scale < kLeastNoise * noise.shift) return all_told();
  const double scale = std::min(noise.scale, kMostCutNoise * noise.shift), most = 2 * noise.shift / scale;
  if (laplace && most > kMostPure) return at_most(relation == NeighbouringRelation::replace_one ? most : most / 2);
  const double outputs = 2 * noise.shift + (laplace ? 0 : kGaussianReach * scale);
  if (discrete && outputs > kMostOutputs) return nullptr;
  const bool attained = scale == noise.scale && rate >= kLeastCutRate;
  const auto law = [&](std::vector<Shift> shifts) -> Law {
    Law found = std::make_shared<ShiftedNoiseLaw>(noise.shape, scale, std::move(shifts));
    return attained ? found : std::make_shared<UpperBoundLaw>(found);
  };
  rate = std::max(rate, kLeastCutRate);
  if (relation != NeighbouringRelation::replace_one) {
    if (rate == 1) return law({{0, 0, 1}, {noise.shift, 1, 0}});
    return law({{0, 1 - rate, 1}, {noise.shift, rate, 0}});
  }
  if (rate == 1) return law({{0, 0, 1}, {2 * noise.shift, 1, 0}});
  return law({{-noise.shift, 0, rate}, {0, 1 - rate, 1 - rate}, {noise.shift, rate, 0}});
}

Law sampled_gaussian(double noise_multiplier, double rate, NeighbouringRelation relation) {
  if (noise_multiplier < kLeastNoise) return all_told();
  const double sigma = std::min(noise_multiplier, kMostNoise);
  const bool replace = relation == NeighbouringRelation::replace_one;
  if (replace && rate < 1) return moved({NoiseShape::gaussian, sigma, 1}, rate, relation);
  return std::make_shared<SampledGaussianLaw>(replace ? sigma / 2 : sigma, std::max(rate, kLeastRate));
}

// The law of the event on a batch that each unit joins with probability `rate`.
class Sampled {
 public:
  Sampled(double rate, NeighbouringRelation relation) : rate_(rate), relation_(relation) {}

  // Balle, Barthe, Gaboardi 2018, Theorem 8: (ε, δ) becomes (log(1 + q(e^ε − 1)), qδ).
  template <class Mechanism>
  Law operator()(const Mechanism& e) const {
    if (rate_ < 1 && relation_ == NeighbouringRelation::replace_one) return nullptr;
    const auto known = epsilon_delta_of({e}, relation_);
    if (!known) return nullptr;
    if (rate_ == 1) return at_most(known->epsilon, known->delta);
    const double epsilon = known->epsilon > kMostPure ? known->epsilon : std::log1p(rate_ * std::expm1(known->epsilon));
    return at_most(epsilon * (1 + 1e-12), rate_ * known->delta * (1 + 1e-12));
  }
  Law operator()(const Gaussian& e) const { return sampled_gaussian(e.noise_multiplier, rate_, relation_); }
  Law operator()(const Laplace& e) const {
    return moved({NoiseShape::laplace, e.noise_multiplier, 1}, rate_, relation_);
  }
  Law operator()(const DiscreteLaplace& e) const {
    return moved({NoiseShape::discrete_laplace, e.scale, static_cast<double>(e.sensitivity)}, rate_, relation_);
  }
  Law operator()(const DiscreteGaussian& e) const {
    return moved({NoiseShape::discrete_gaussian, e.sigma, static_cast<double>(e.sensitivity)}, rate_, relation_);
  }

 private:
  double rate_;
  NeighbouringRelation relation_;
};

class Whole {
 public:
  explicit Whole(NeighbouringRelation relation) : relation_(relation) {}

  template <class Mechanism>
  Law operator()(const Mechanism& e) const {
    return Sampled(1, relation_)(e);
  }
  Law operator()(const PoissonSampledGaussian& e) const {
    return sampled_gaussian(e.noise_multiplier, e.sample_rate, relation_);
  }
  Law operator()(const PoissonSampled& e) const {
    return std::visit(Sampled(e.sample_rate, relation_), e.event->mechanism);
  }
  Law operator()(const MixtureOfGaussians& e) const {
    if (relation_ == NeighbouringRelation::replace_one) return nullptr;
    if (e.noise_multiplier < kLeastNoise && e.sensitivities.back() > 0) return all_told();
    std::vector<Shift> shifts;
    if (e.sensitivities.front() > 0) shifts.push_back({0, 0, 1});
    const double sum = std::accumulate(e.probabilities.begin(), e.probabilities.end(), 0.0);
    for (size_t i = 0; i < e.sensitivities.size(); ++i)
      if (e.probabilities[i] > 0 || e.sensitivities[i] == 0)
        shifts.push_back({e.sensitivities[i], e.probabilities[i] / sum, e.sensitivities[i] == 0 ? 1.0 : 0.0});
    if (shifts.size() < 2) return FewOutcomesLaw::epsilon_delta(0, 0);
    if (shifts.size() > ShiftedNoiseLaw::kMostShifts) return nullptr;
    const double most = kMostCutNoise * shifts.back().centre;
    const Law law = std::make_shared<ShiftedNoiseLaw>(NoiseShape::gaussian, std::min(e.noise_multiplier, most), shifts);
    return e.noise_multiplier <= most ? law : std::make_shared<UpperBoundLaw>(law);
  }
  Law operator()(const RandomizedResponse& e) const {
    if (relation_ != NeighbouringRelation::replace_one) return nullptr;
    return FewOutcomesLaw::randomized_response(e.epsilon, e.categories);
  }
  Law operator()(const EpsilonDelta& e) const { return FewOutcomesLaw::epsilon_delta(e.epsilon, e.delta); }

 private:
  NeighbouringRelation relation_;
};

}  // namespace

std::shared_ptr<const LossLaw> loss_law(const Event& event, NeighbouringRelation relation) {
  return std::visit(Whole(relation), event.mechanism);
}

}  // namespace sotto::accountants
