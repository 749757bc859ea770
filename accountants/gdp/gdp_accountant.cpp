#include "accountants/gdp/gdp_accountant.h"

#include <cmath>
#include <limits>

#include "accountants/pld/analytic_gaussian.h"

namespace sotto::accountants {
namespace {

// What parts_of() and the tally round up, and the root.
constexpr double kRounding = 1e-13;
// Fixed point rounds a noise of more than 10^9 up by as much as it costs: its lower bound is 0.
constexpr double kLeastMu = 1e-9;

}  // namespace

void GdpAccountant::add(const Event& event, int64_t count) {
  tally_.add(event, count);
}

Bracket GdpAccountant::mu() const {
  const double mu = std::sqrt(tally_.lines()[0].rounded_up());
  return {mu < kLeastMu ? 0 : mu * (1 - kRounding), mu * (1 + kRounding)};
}

Bracket GdpAccountant::epsilon_at(double delta) const {
  const Bracket mu = this->mu();
  if (mu.upper == 0) return {0, 0};
  if (std::isinf(mu.upper) || delta < std::numeric_limits<double>::min())
    return {0, std::numeric_limits<double>::infinity()};
  return {mu.lower == 0 ? 0 : gaussian_epsilon(mu.lower, delta).lower, gaussian_epsilon(mu.upper, delta).upper};
}

Bracket GdpAccountant::delta_at(double epsilon) const {
  const Bracket mu = this->mu();
  if (mu.upper == 0) return {0, 0};
  if (std::isinf(mu.upper)) return {0, 1};
  return {mu.lower == 0 ? 0 : gaussian_delta(mu.lower, epsilon).lower, gaussian_delta(mu.upper, epsilon).upper};
}

}  // namespace sotto::accountants
