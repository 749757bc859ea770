#include "accountants/zcdp/rho.h"

#include "accountants/gdp/mu.h"

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
  return std::nullopt;
}

}  // namespace sotto::accountants
