#pragma once
#include <functional>
#include <vector>

namespace sotto::accountants {

// For bounds on sampled mechanisms that are sums over integers l ≤ α: known at integer orders, used at all.

// Above it nothing is summed, and the bound is that without sampling.
inline constexpr int kMostSummedOrder = 512;

// log l! for l up to kMostSummedOrder.
const std::vector<double>& log_factorials_to_most();

// rdp at whole orders, each asked for once.
std::function<double(double order)> remembered_at_integers(const std::function<double(double order)>& rdp);

// log(1 + Σ e^{logs[i]}), rounded up where each entry was put together from terms that add up to at most `magnitude`.
double log_one_plus_sum(const std::vector<double>& logs, double magnitude);

// R at each of the increasing orders, from moment(α) ≥ (α−1) R(α) at integers α from 2 to kMostSummedOrder: that
// function is convex with 0 at α = 1, so between integers it is interpolated from above. Never above rdp(α), a bound at
// every order, and never above what holds at a larger one.
std::vector<double> rdp_from_integer_orders(const std::vector<double>& orders,
                                            const std::function<double(double order)>& rdp,
                                            const std::function<double(int order)>& moment);

}  // namespace sotto::accountants
