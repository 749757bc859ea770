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

// Each for one order: its right-hand side, which may be negative, and log δ likewise. As functions of the order both
// have one valley where R is a mechanism's own: (α−1) R(α) and (α−1) log(α−1) − α log α are convex.
double epsilon_at_order(double order, double rdp, double delta);
double log_delta_at_order(double order, double rdp, double epsilon);
// e^log_delta, rounded up, at most 1 and never 0.
double delta_of_log(double log_delta);

// The same line solved for R(order): the largest whose ε at delta is at most epsilon, or 0.
double largest_rdp(double order, double epsilon, double delta);

// ε where rdp[i] is a sum that a data-dependent sequence has come to, and which of the orders is within its budget in
// the end depends on the data too. Each of the m orders then gets delta / m: the outcomes split by the least order
// within its budget, and on each part the sequence is one that this order alone would have let pass.
double filter_epsilon(const std::vector<double>& orders, const std::vector<double>& rdp, double delta);

}  // namespace sotto::accountants
