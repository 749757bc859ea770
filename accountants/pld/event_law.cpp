#include "accountants/pld/event_law.h"

#include <cmath>
#include <numeric>
#include <optional>

#include "accountants/directed.h"
#include "accountants/pld/few_outcomes_law.h"
#include "accountants/pld/noise_law.h"
#include "accountants/pld/numerics.h"
#include "accountants/pld/shuffled_channel_law.h"
#include "accountants/pld/shuffled_law.h"
#include "accountants/pld/staircase_law.h"
#include "accountants/pld/upper_bound_law.h"
#include "accountants/pure_dp.h"

namespace sotto::accountants {
namespace {

constexpr double kMostNoise = 1e9, kLeastNoise = 1e-100;  // as in noise_law.cpp
constexpr double kMostStaircase = 100;

using Law = std::shared_ptr<const LossLaw>;

// The (ε, 0) of a mechanism, rounded up, where one is known, or the (ε, δ) that it is promised as.
std::optional<EpsilonDelta> epsilon_delta_of(const Event& event, NeighbouringRelation relation) {
  if (const auto* known = std::get_if<EpsilonDelta>(&event.mechanism)) return *known;
  if (const auto pure = pure_dp(event, relation)) return EpsilonDelta{pure->epsilon, 0};
  return std::nullopt;
}

const Staircase* cut_staircase(const Event& event, NeighbouringRelation relation) {
  const auto* stairs = std::get_if<Staircase>(&event.mechanism);
  const double times = relation == NeighbouringRelation::replace_one ? 2 : 1;
  return stairs != nullptr && times * stairs->epsilon <= kMostStaircase ? stairs : nullptr;
}

// The law of the event on a batch that each unit joins with probability `rate`.
Law poisson_sampled_law(const Event& event, double rate, NeighbouringRelation relation) {
  if (const auto noise = noise_of(event)) return poisson_sampled_law(*noise, rate, relation);
  const bool replaced = relation == NeighbouringRelation::replace_one;
  if (rate < 1 && replaced) return nullptr;
  if (const auto* stairs = cut_staircase(event, relation); stairs != nullptr && rate >= 1e-9)
    return staircase_law(stairs->epsilon, stairs->step_fraction, replaced ? 2 : 1, rate);
  const auto known = epsilon_delta_of(event, relation);
  return known ? at_most(*known, rate) : nullptr;
}

// A unit of the batch takes another's place, whatever the relation: what that costs the event decides.
Law fixed_size_law(const FixedSizeSampled& batch, NeighbouringRelation relation) {
  const auto size = static_cast<double>(batch.batch_size), population = static_cast<double>(batch.population_size);
  if (batch.with_replacement) {
    const auto noise = noise_of(*batch.event);
    return noise ? with_replacement_law(*noise, size, population, relation) : nullptr;
  }
  if (size == population && relation != NeighbouringRelation::replace_one)
    return relation == NeighbouringRelation::zero_out ? loss_law(*batch.event, relation) : nullptr;
  const double rate = std::min(1.0, divide_up(size, population));
  if (const auto noise = noise_of(*batch.event)) return fixed_size_law(*noise, rate, relation);
  if (rate == 1) return loss_law(*batch.event, relation);
  // Other promises are made under the relation asked for, which says nothing of a unit that takes another's place.
  if (relation != NeighbouringRelation::replace_one && !std::holds_alternative<Staircase>(batch.event->mechanism))
    return nullptr;
  const auto known = epsilon_delta_of(*batch.event, NeighbouringRelation::replace_one);
  return known ? at_most(*known, rate) : nullptr;
}

class LawOf {
 public:
  LawOf(const Event& event, NeighbouringRelation relation) : event_(event), relation_(relation) {}

  template <class Mechanism>
  Law operator()(const Mechanism&) const {
    return poisson_sampled_law(event_, 1, relation_);
  }
  Law operator()(const PoissonSampledGaussian& e) const {
    return poisson_sampled_law(Event{Gaussian{e.noise_multiplier}}, e.sample_rate, relation_);
  }
  Law operator()(const PoissonSampledLatticeGaussian& e) const {
    return lattice_gaussian_law(e.noise_multiplier, e.sigma, e.sample_rate, relation_);
  }
  Law operator()(const PoissonSampled& e) const { return poisson_sampled_law(*e.event, e.sample_rate, relation_); }
  Law operator()(const FixedSizeSampled& e) const { return fixed_size_law(e, relation_); }
  Law operator()(const RandomAllocation& e) const {
    if (e.selected == e.steps && e.steps == 1) return loss_law(*e.event, relation_);
    const auto noise = noise_of(*e.event);
    return noise && e.selected == 1 ? random_allocation_law(*noise, e.steps, relation_) : nullptr;
  }
  Law operator()(const Shuffled& e) const {
    constexpr double kMostLocal = 50;
    constexpr int64_t kMostReports = 100'000'000;
    if (relation_ != NeighbouringRelation::replace_one) return nullptr;
    if (const auto* channel = std::get_if<LocalChannel>(&e.event->mechanism); channel && e.reports <= kMostReports)
      if (e.reports >= 2)
        if (Law law = shuffled_channel_law(channel->table, e.reports)) return law;
    const auto local = pure_dp(*e.event, relation_);
    if (!local || !std::isfinite(local->epsilon)) return nullptr;
    if (local->epsilon == 0) return FewOutcomesLaw::epsilon_delta(0, 0);
    if (e.reports < 2 || local->epsilon > kMostLocal || e.reports > kMostReports) return at_most({local->epsilon, 0});
    if (const auto* response = std::get_if<RandomizedResponse>(&e.event->mechanism))
      return shuffled_response_law(response->epsilon, response->categories, e.reports);
    if (std::holds_alternative<Laplace>(e.event->mechanism)) return shuffled_laplace_law(local->epsilon, e.reports);
    return shuffled_clones_law(local->epsilon, e.reports);
  }
  Law operator()(const MixtureOfGaussians& e) const {
    if (relation_ == NeighbouringRelation::replace_one) return nullptr;
    if (e.noise_multiplier < kLeastNoise && e.sensitivities.back() > 0) return FewOutcomesLaw::epsilon_delta(0, 1);
    std::vector<Shift> shifts;
    if (e.sensitivities.front() > 0) shifts.push_back({0, 0, 1});
    const double sum = std::accumulate(e.probabilities.begin(), e.probabilities.end(), 0.0);
    for (size_t i = 0; i < e.sensitivities.size(); ++i)
      if (e.probabilities[i] > 0 || e.sensitivities[i] == 0)
        shifts.push_back({e.sensitivities[i], e.probabilities[i] / sum, e.sensitivities[i] == 0 ? 1.0 : 0.0});
    if (shifts.size() < 2) return FewOutcomesLaw::epsilon_delta(0, 0);
    if (shifts.size() > ShiftedNoiseLaw::kMostShifts) return nullptr;
    const double most = kMostNoise * shifts.back().centre;
    const Law law = std::make_shared<ShiftedNoiseLaw>(NoiseShape::gaussian, std::min(e.noise_multiplier, most), shifts);
    return e.noise_multiplier <= most ? law : std::make_shared<UpperBoundLaw>(law);
  }
  Law operator()(const RandomizedResponse& e) const {
    if (relation_ != NeighbouringRelation::replace_one) return nullptr;
    return FewOutcomesLaw::randomized_response(e.epsilon, e.categories);
  }
  Law operator()(const EpsilonDelta& e) const { return FewOutcomesLaw::epsilon_delta(e.epsilon, e.delta); }

 private:
  const Event& event_;
  NeighbouringRelation relation_;
};

}  // namespace

LawUses uses_of_law(const Event& event, NeighbouringRelation relation) {
  const auto* allocation = std::get_if<RandomAllocation>(&event.mechanism);
  if (allocation == nullptr || allocation->selected == 1) return {loss_law(event, relation), 1};
  if (allocation->selected == allocation->steps) return {loss_law(*allocation->event, relation), allocation->steps};
  const auto noise = noise_of(*allocation->event);
  if (!noise) return {nullptr, 1};
  return random_allocations_law(*noise, allocation->steps, allocation->selected, relation);
}

std::shared_ptr<const LossLaw> loss_law(const Event& event, NeighbouringRelation relation) {
  return std::visit(LawOf(event, relation), event.mechanism);
}

}  // namespace sotto::accountants
