#pragma once
#include <optional>

#include "accountants/event.h"
#include "accountants/unit_cost.h"

namespace sotto::accountants {

// What a mechanism costs as delta-approximate rho-zCDP: but for an event of probability delta, D_α ≤ ρ α for every
// α > 1 (Bun and Steinke 2016, Definitions 1.1 and 8.1). Both add up over compositions.
struct ZcdpCost {
  UnitCost rho, delta;
};

// Nothing where no ρ is known:
//
//   Gaussian and discrete Gaussian: ρ = Δ² / 2σ² (Bun and Steinke 2016, Proposition 1.6; Canonne, Kamath, Steinke 2020,
//   Theorem 4), Δ as in gdp/mu.h
//   (ε, δ)-DP: ρ = ε² / 2 and δ (Lemma 8.8 there: but for an event of probability δ such a mechanism is ε-DP)
//   a mechanism with a pure ε (pure_dp.h): ρ = ε² / 2 (Proposition 1.4 there); with losses within a range of ε, ε² / 8
//   Poisson sampling at rate 1 (and rate 0, at no cost): the same. Below rate 1 no small ρ holds for all orders, since
//   the divergence of a sampled Gaussian jumps to the unsampled one's at large orders: use RDP.
std::optional<ZcdpCost> zcdp_cost(const Event& event, NeighbouringRelation relation);

}  // namespace sotto::accountants
