#include "accountants/rdp/poisson_sampled.h"

#include <algorithm>
#include <cmath>

#include "accountants/rdp/integer_orders.h"

namespace sotto::accountants {
namespace {

// (α−1) R(α) as log A, with A − 1 summed, so that a small q keeps its digits: the binomial weights add up to 1.
//   A − 1 = C(α,2) q² (1−q)^{α−2} (e^{R(2)} − 1) + Σ_{l≥3} C(α,l) q^l (1−q)^{α−l} (c e^{(l−1)R(l)} − 1)
double moment(int order, double rate, bool reflects, const std::function<double(double order)>& rdp) {
  const auto& log_factorial = log_factorials_to_most();
  const double log_rate = std::log(rate), log_rest = std::log1p(-rate), c_ = reflects ? 1 : 3;
  double magnitude = 0;
  std::vector<double> logs;
  for (int l = 2; l <= order; ++l) {
    const double weighted = (l - 1) * rdp(l), c = l == 2 ? 1 : c_;
    const double factor = weighted > 30 ? weighted + std::log(c) : std::log(c * std::expm1(weighted) + (c - 1));
    const double binomial = log_factorial[order] - log_factorial[l] - log_factorial[order - l];
    logs.push_back(binomial + l * log_rate + (order - l) * log_rest + factor);
    magnitude = std::max(magnitude, std::abs(logs.back()) + 4 * log_factorial[order] - l * log_rate - order * log_rest);
  }
  return log_one_plus_sum(logs, magnitude);
}

}  // namespace

std::vector<double> rdp_poisson_sampled(double sample_rate, bool reflects,
                                        const std::function<double(double order)>& rdp,
                                        const std::vector<double>& orders) {
  if (sample_rate == 0) return std::vector<double>(orders.size(), 0.0);
  const double rate = std::max(sample_rate, 1e-100);
  const auto at_integer = remembered_at_integers(rdp);
  return rdp_from_integer_orders(orders, rdp, [&](int order) {
    return rate < 1 ? moment(order, rate, reflects, at_integer) : (order - 1) * at_integer(order);
  });
}

}  // namespace sotto::accountants
