#pragma once
#include <vector>

namespace sotto::accountants {

// The budgets under which a data-dependent sequence of mechanisms may be limited. What they share: a filter that stops
// when the running sum would pass them keeps the guarantee of the budget, whatever was chosen along the way. A privacy
// loss distribution has no such form, so no budget can be made of one.

// A bound on the Rényi divergence at each of some orders fixed in advance; +infinity leaves an order out. The sequence
// goes on while at least one order is within its bound (Feldman and Zrnic 2021 for one order; Lécuyer 2021 for
// several).
struct RdpBudget {
  std::vector<double> orders, rdp;

  // The largest one that holds (epsilon, delta). Throws invalid_argument unless 0 < epsilon, 0 < delta < 1 and the
  // orders are above 1 and increasing; configuration when no order can hold it.
  static RdpBudget holding(double epsilon, double delta, const std::vector<double>& orders);
  // At orders that suit ε from 0.1 to 20.
  static RdpBudget holding(double epsilon, double delta);
  // What holds at delta when the budget is spent, rounded up.
  double epsilon(double delta) const;
};

// delta-approximate rho-zCDP (Whitehouse, Ramdas, Rogers, Wu 2023): Σ ρ ≤ rho and Σ δ ≤ delta.
struct ZcdpBudget {
  double rho, delta = 0;

  // The largest pure one (delta = 0) that holds (epsilon, delta); the same throws.
  static ZcdpBudget holding(double epsilon, double delta);
  // +infinity unless delta is above the budget's own.
  double epsilon(double delta) const;
};

// mu-Gaussian DP for plain Gaussians (Smith and Thakurta 2022; Koskela, Tobaben, Honkela 2023; arXiv 2602.06756):
// Σ μ² ≤ mu². It holds where each step is a Gaussian mechanism whose function and noise may depend on what was released
// before and on nothing else; trade-off curves in general do not compose adaptively, so nothing but Gaussians is taken.
struct GdpBudget {
  double mu;

  static GdpBudget holding(double epsilon, double delta);
  double epsilon(double delta) const;
};

}  // namespace sotto::accountants
