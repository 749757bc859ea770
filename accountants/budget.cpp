#include "accountants/budget.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "accountants/pld/analytic_gaussian.h"
#include "accountants/rdp/conversion.h"
#include "accountants/rdp/orders.h"
#include "accountants/zcdp/conversion.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

void check(double epsilon, double delta) {
  require(std::isfinite(epsilon) && epsilon > 0, "a budget's epsilon must be finite and above 0, got ", epsilon);
  require(delta > 0 && delta < 1, "a budget's delta must be above 0 and below 1, got ", delta);
}

[[noreturn]] void none_holds(double epsilon, double delta) {
  throw Error(ErrorKind::configuration, cat("no budget above 0 holds epsilon ", epsilon, " at delta ", delta,
                                            "; allow a larger epsilon or delta"));
}

}  // namespace

RdpBudget RdpBudget::holding(double epsilon, double delta, const std::vector<double>& orders) {
  check(epsilon, delta);
  require(!orders.empty() && orders.front() > 1 && std::is_sorted(orders.begin(), orders.end()),
          "a budget needs orders above 1, increasing");
  RdpBudget budget{orders, {}};
  for (const double order : orders)
    budget.rdp.push_back(largest_rdp(order, epsilon, delta / static_cast<double>(orders.size())));
  if (*std::max_element(budget.rdp.begin(), budget.rdp.end()) <= 0) none_holds(epsilon, delta);
  return budget;
}

RdpBudget RdpBudget::holding(double epsilon, double delta) {
  return holding(epsilon, delta, filter_orders());
}

double RdpBudget::epsilon(double delta) const {
  return filter_epsilon(orders, rdp, delta);
}

ZcdpBudget ZcdpBudget::holding(double epsilon, double delta) {
  check(epsilon, delta);
  const double rho = largest_rho(epsilon, delta);
  if (rho <= 0) none_holds(epsilon, delta);
  return {rho, 0};
}

double ZcdpBudget::epsilon(double at) const {
  // P(S) ≤ δ + (1 − δ) P'(S) with P' the divergence's distribution: what is left for the conversion is at least at − δ.
  return epsilon_from_zcdp(rho, std::nextafter(at - delta, -1.0));
}

GdpBudget GdpBudget::holding(double epsilon, double delta) {
  check(epsilon, delta);
  const auto holds = [&](double mu) { return gaussian_delta(mu, epsilon).upper <= delta; };
  double fits = 0, too_much = 1;
  while (holds(too_much)) fits = too_much, too_much *= 2;
  for (int i = 0; i < 1100 && std::nextafter(fits, too_much) < too_much; ++i) {
    const double middle = fits + (too_much - fits) / 2;
    (holds(middle) ? fits : too_much) = middle;
  }
  if (fits <= 0) none_holds(epsilon, delta);
  return {fits};
}

double GdpBudget::epsilon(double delta) const {
  require(delta > 0 && delta < 1, "delta must be above 0 and below 1, got ", delta);
  return gaussian_epsilon(mu, delta).upper;
}

}  // namespace sotto::accountants
