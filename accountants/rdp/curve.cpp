#include "accountants/rdp/curve.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <utility>

#include "accountants/directed.h"
#include "accountants/event/parts.h"
#include "accountants/pure_dp.h"
#include "accountants/rdp/closed_forms.h"
#include "accountants/rdp/fixed_size_sampled.h"
#include "accountants/rdp/orders.h"
#include "accountants/rdp/poisson_sampled.h"
#include "accountants/rdp/sampled_gaussian.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kUselessRdp = 700;
constexpr size_t kRememberedCurves = 64;

using Divergence = std::function<double(double order)>;

// R(α) of one of event/parts.h, or an empty function. Replacing a unit moves a sum by twice what it contributes.
struct DivergenceOf {
  double moved;
  const Event& event;
  NeighbouringRelation relation;

  template <class Mechanism>
  Divergence operator()(const Mechanism&) const {
    const auto pure = pure_dp(event, relation);
    if (!pure) return {};
    return [pure](double order) { return rdp_pure(pure->epsilon, pure->range, order); };
  }
  Divergence operator()(const Gaussian& e) const {
    return [sigma = e.noise_multiplier / moved](double order) { return rdp_sampled_gaussian(sigma, 1, order); };
  }
  Divergence operator()(const PoissonSampledGaussian& e) const {
    if (moved != 1) return {};
    return [e](double order) { return rdp_sampled_gaussian(e.noise_multiplier, e.sample_rate, order); };
  }
  Divergence operator()(const PoissonSampledDiscreteGaussian& e) const {
    if (moved != 1) return {};
    return [e](double order) { return rdp_sampled_discrete_gaussian(e.noise_multiplier, e.sample_rate, order); };
  }
  Divergence operator()(const PoissonSampledLatticeGaussian& e) const {
    return (*this)(PoissonSampledDiscreteGaussian{e.noise_multiplier, e.sample_rate});
  }
  Divergence operator()(const DiscreteGaussian& e) const {
    const double mu = divide_up(times_up(moved, static_cast<double>(e.sensitivity)), e.sigma);
    return [mu](double order) { return std::isinf(mu) ? mu : rdp_gaussian(mu, order); };
  }
  Divergence operator()(const Laplace& e) const {
    const double epsilon = divide_up(moved, e.noise_multiplier);
    return [epsilon](double order) { return rdp_laplace(epsilon, order); };
  }
  Divergence operator()(const DiscreteLaplace& e) const {
    return [e, shift = static_cast<int64_t>(moved) * e.sensitivity](double order) {
      return rdp_discrete_laplace(e.scale, shift, order);
    };
  }
  Divergence operator()(const Skellam& e) const {
    return [e, moved = moved](double order) {
      return rdp_skellam(e.variance, moved * e.l1_sensitivity, moved * e.l2_sensitivity, order);
    };
  }
  Divergence operator()(const RandomizedResponse& e) const {
    if (relation != NeighbouringRelation::replace_one) return {};
    return [e](double order) { return rdp_randomized_response(e.epsilon, e.categories, order); };
  }
};

Divergence divergence(const Event& event, NeighbouringRelation relation) {
  const double moved = relation == NeighbouringRelation::replace_one ? 2 : 1;
  return std::visit(DivergenceOf{moved, event, relation}, event.mechanism);
}

// A unit's absence and a contribution of zero are the same to a sum with noise, and to nothing else. The noise is
// symmetric, so x → v − x swaps the sums with and without a contribution of v.
bool is_noisy_sum(const Event& event) {
  const auto& m = event.mechanism;
  return std::holds_alternative<Gaussian>(m) || std::holds_alternative<Laplace>(m) ||
         std::holds_alternative<DiscreteLaplace>(m) || std::holds_alternative<DiscreteGaussian>(m) ||
         std::holds_alternative<Skellam>(m) || std::holds_alternative<Staircase>(m);
}

bool is_sampled_gaussian(const Event& event) {
  if (const auto* sampled = std::get_if<PoissonSampledGaussian>(&event.mechanism)) return sampled->sample_rate < 1;
  if (const auto* fine = std::get_if<PoissonSampledLatticeGaussian>(&event.mechanism)) return fine->sample_rate < 1;
  const auto* lattice = std::get_if<PoissonSampledDiscreteGaussian>(&event.mechanism);
  return lattice != nullptr && lattice->sample_rate < 1;
}

// What a batch is drawn for, part by part; empty where that has no bound. A batch of fixed size keeps its size when a
// unit is replaced and not when it leaves; of a Poisson sample it is the other way round.
std::vector<std::pair<Divergence, int64_t>> parts_of_batch(const Event& batch, NeighbouringRelation relation) {
  std::vector<std::pair<Divergence, int64_t>> found;
  const auto* poisson = std::get_if<PoissonSampled>(&batch.mechanism);
  const auto* fixed = std::get_if<FixedSizeSampled>(&batch.mechanism);
  const bool replaced = relation == NeighbouringRelation::replace_one;
  if (poisson != nullptr ? replaced : fixed == nullptr || !replaced || fixed->with_replacement) return {};
  for (const EventUses& part : parts_of(poisson != nullptr ? *poisson->event : *fixed->event, 1, relation)) {
    found.emplace_back(divergence(part.event, relation), part.count);
    if (!found.back().first || (relation == NeighbouringRelation::zero_out && !is_noisy_sum(part.event))) return {};
  }
  return found;
}

bool is_batch(const Event& event) {
  return std::holds_alternative<PoissonSampled>(event.mechanism) ||
         std::holds_alternative<FixedSizeSampled>(event.mechanism);
}

double sum_at(const std::vector<std::pair<Divergence, int64_t>>& parts, double order) {
  double sum = 0;
  for (const auto& [part, count] : parts) sum += static_cast<double>(count) * part(order);
  return sum * (1 + static_cast<double>(parts.size() + 1) * std::numeric_limits<double>::epsilon());
}

RdpCurve batch_curve(const Event& event, NeighbouringRelation relation, const std::vector<double>& orders) {
  const auto parts = parts_of_batch(event, relation);
  const Divergence whole = [&](double order) { return sum_at(parts, order); };
  if (const auto* poisson = std::get_if<PoissonSampled>(&event.mechanism)) {
    const auto listed = parts_of(*poisson->event, 1, relation);
    const bool reflects =
        std::all_of(listed.begin(), listed.end(), [](const EventUses& part) { return is_noisy_sum(part.event); });
    return rdp_poisson_sampled(poisson->sample_rate, reflects, whole, orders);
  }
  const auto& fixed = std::get<FixedSizeSampled>(event.mechanism);
  double pure = 0;
  for (const EventUses& part : parts_of(*fixed.event, 1, relation)) {
    const auto known = pure_dp(part.event, relation);
    pure += known ? times_up(static_cast<double>(part.count), known->epsilon) * (1 + 1e-15)
                  : std::numeric_limits<double>::infinity();
  }
  const double rate = divide_up(static_cast<double>(fixed.batch_size), static_cast<double>(fixed.population_size));
  return rdp_fixed_size_sampled(std::min(1.0, rate), pure, whole, orders);
}

}  // namespace

bool has_rdp_curve(const Event& event, NeighbouringRelation relation) {
  if (is_batch(event)) return !parts_of_batch(event, relation).empty();
  return static_cast<bool>(divergence(event, relation));
}

RdpCurve rdp_curve(const Event& event, NeighbouringRelation relation, const std::vector<double>& orders) {
  validate(event);
  require(has_rdp_curve(event, relation), "no RDP curve for ", to_json(event), " under ", to_string(relation));
  if (is_batch(event)) return batch_curve(event, relation, orders);
  const Divergence at = divergence(event, relation);
  const bool may_skip = is_sampled_gaussian(event);
  RdpCurve curve;
  for (const double order : orders) {
    const bool useless = may_skip && order > 2 && !curve.empty() && curve.back() > kUselessRdp;
    curve.push_back(useless ? std::numeric_limits<double>::infinity() : at(order));
  }
  return curve;
}

DefaultRdpCurve::DefaultRdpCurve(const Event& event, NeighbouringRelation relation)
    : event_(event), relation_(relation), values_(default_orders().size()) {
  validate(event);
  require(has_rdp_curve(event, relation), "no RDP curve for ", to_json(event), " under ", to_string(relation));
  if (is_sampled_gaussian(event)) {
    for (auto& each : values_) each = std::numeric_limits<double>::quiet_NaN();
  } else {
    const RdpCurve all = rdp_curve(event, relation, default_orders());
    std::copy(all.begin(), all.end(), values_.begin());
  }
}

double DefaultRdpCurve::at(size_t index) const {
  const double known = values_[index];
  if (!std::isnan(known)) return known;
  return values_[index] = divergence(event_, relation_)(default_orders()[index]);
}

std::shared_ptr<const DefaultRdpCurve> default_rdp_curve(const Event& event, NeighbouringRelation relation) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<const DefaultRdpCurve>> remembered;
  const std::string key = cat(to_string(relation), to_json(event));
  {
    const std::lock_guard lock(mutex);
    if (const auto found = remembered.find(key); found != remembered.end()) return found->second;
  }
  auto curve = std::make_shared<const DefaultRdpCurve>(event, relation);
  const std::lock_guard lock(mutex);
  if (remembered.size() >= kRememberedCurves) remembered.clear();
  remembered[key] = curve;
  return curve;
}

}  // namespace sotto::accountants
