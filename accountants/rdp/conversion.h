#pragma once
#include <vector>

namespace sotto::accountants {

// From a bound rdp[i] on the Rényi divergence at orders[i] to (ε, δ), at the best of the orders, rounded up:
//
//   ε = R(α) + log(1 − 1/α) − (log δ + log α) / (α − 1)      (Canonne, Kamath, Steinke 2020, Proposition 12)
//
// A negative right-hand side means that the bound already holds at ε = 0, so 0 is returned (δ(ε) never grows with ε).
// Orders with infinite rdp are passed over. +infinity when none is left or delta is 0.
double epsilon_from_rdp(const std::vector<double>& orders, const std::vector<double>& rdp, double delta);

// The same line solved for δ, at most 1.
double delta_from_rdp(const std::vector<double>& orders, const std::vector<double>& rdp, double epsilon);

}  // namespace sotto::accountants
