#include "accountants/zcdp/rho.h"

#include <cmath>

#include "accountants/gdp/mu.h"
#include "accountants/pure_dp.h"

namespace sotto::accountants {
namespace {

// ρ = μ² / 2.
ZcdpCost half(UnitCost mu_squared) {
  return {{mu_squared.numerator / 2, mu_squared.divisor}, {}};
}

}  // namespace

std::optional<ZcdpCost> zcdp_cost(const Event& event, NeighbouringRelation relation) {
  if (const auto gaussian = mu_squared(event, relation)) return half(*gaussian);
  if (const auto* lattice = std::get_if<PoissonSampledDiscreteGaussian>(&event.mechanism))
    if (const auto same =
            mu_squared({PoissonSampledGaussian{lattice->noise_multiplier, lattice->sample_rate}}, relation))
      return half(*same);
  if (const auto* fine = std::get_if<PoissonSampledLatticeGaussian>(&event.mechanism))
    return zcdp_cost({PoissonSampledDiscreteGaussian{fine->noise_multiplier, fine->sample_rate}}, relation);
  if (const auto* integer = std::get_if<DiscreteGaussian>(&event.mechanism)) {
    const double moved = relation == NeighbouringRelation::replace_one ? 2 : 1;
    const double shift = times_up(moved, static_cast<double>(integer->sensitivity));
    return half({times_up(shift, shift), square_down(integer->sigma)});
  }
  if (const auto* approximate = std::get_if<EpsilonDelta>(&event.mechanism))
    return ZcdpCost{{times_up(approximate->epsilon, approximate->epsilon) / 2, 1}, {approximate->delta, 1}};
  if (const auto pure = pure_dp(event, relation)) {
    if (std::isinf(pure->epsilon)) return ZcdpCost{{1, 0}, {}};
    return ZcdpCost{{times_up(pure->range, pure->range) / 8, 1}, {}};
  }
  return std::nullopt;
}

}  // namespace sotto::accountants
