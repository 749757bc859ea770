#pragma once
#include <cmath>

namespace sotto::accountants {

// δ at every ε, rounded up: total variation bounds it, and the KL divergence, itself at most the Rényi divergence of
// any order above 1, bounds total variation: TV² ≤ 1 − e^−KL (Bretagnolle and Huber 1979). Better than any order of a
// grid when almost nothing was spent.
inline double total_variation(double divergence) {
  return std::sqrt(-std::expm1(-divergence)) * (1 + 1e-12);
}

}  // namespace sotto::accountants
