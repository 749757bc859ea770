#include "accountants/rdp/fixed_size_sampled.h"

#include <algorithm>
#include <cmath>

#include "accountants/rdp/integer_orders.h"

namespace sotto::accountants {
namespace {

double log_expm1(double x) {
  return x > 40 ? x : std::log(std::expm1(x));
}

// (α−1) R(α) by the header's formula, term by term as logarithms.
double moment(int order, double rate, double pure_epsilon, const std::function<double(double order)>& rdp) {
  const auto& log_factorial = log_factorials_to_most();
  const double log_rate = std::log(rate), log_pure = log_expm1(pure_epsilon);
  double magnitude = 0;
  std::vector<double> logs;
  for (int l = 2; l <= order; ++l) {
    const double weighted = (l - 1) * rdp(l);
    double factor = weighted + std::min(std::log(2.0), l * log_pure);
    if (l == 2) factor = std::min(factor, std::log(4.0) + log_expm1(weighted));
    const double binomial = log_factorial[order] - log_factorial[l] - log_factorial[order - l];
    logs.push_back(binomial + l * log_rate + factor);
    magnitude = std::max(magnitude, std::abs(logs.back()) + 4 * log_factorial[order] - l * log_rate + std::abs(factor));
  }
  return log_one_plus_sum(logs, magnitude);
}

}  // namespace

std::vector<double> rdp_fixed_size_sampled(double rate, double pure_epsilon,
                                           const std::function<double(double order)>& rdp,
                                           const std::vector<double>& orders) {
  const auto at_integer = remembered_at_integers(rdp);
  return rdp_from_integer_orders(orders, rdp, [&](int order) { return moment(order, rate, pure_epsilon, at_integer); });
}

}  // namespace sotto::accountants
