#pragma once
#include <optional>

#include "accountants/event.h"
#include "accountants/unit_cost.h"

namespace sotto::accountants {

// μ² of a mechanism that is μ-GDP with f = G_μ exactly, or nothing where no such μ is known:
//
//   Gaussian: μ = Δ / σ, Δ = 1 in units of the clip norm; 2 under replace_one, which moves the sum by 2C
//   Poisson sampling at rate 1 (and rate 0, at no cost): the same
//
// μ² adds up over compositions (Dong, Roth, Su 2022, Corollary 3.3). Sampling below rate 1 has no Gaussian trade-off
// curve, and the central limit theorem's is no bound: see gdp/clt.h.
std::optional<UnitCost> mu_squared(const Event& event, NeighbouringRelation relation);

}  // namespace sotto::accountants
