#include "accountants/zcdp/zcdp_accountant.h"

#include <algorithm>
#include <cmath>

#include "accountants/total_variation.h"
#include "accountants/zcdp/conversion.h"

namespace sotto::accountants {

void ZcdpAccountant::add(const Event& event, int64_t count) {
  tally_.add(event, count);
}

Bracket ZcdpAccountant::epsilon_at(double delta) const {
  const double rho = tally_.lines()[0].rounded_up(), lost = tally_.lines()[1].rounded_up();
  if (lost > delta) return {0, std::numeric_limits<double>::infinity()};
  // P(S) ≤ lost + (1 − lost) P'(S), and P' is within ρ of Q': the conversion may use what is left.
  const double left = lost == 0 ? delta : std::nextafter(delta - lost, -1.0);
  if (rho == 0 || total_variation(rho) < left) return {0, 0};
  return {0, epsilon_from_zcdp(rho, left)};
}

Bracket ZcdpAccountant::delta_at(double epsilon) const {
  const double rho = tally_.lines()[0].rounded_up(), lost = tally_.lines()[1].rounded_up();
  if (rho == 0) return {0, std::min(1.0, lost)};
  const double delta = std::min(total_variation(rho), delta_from_zcdp(rho, epsilon));
  return {0, std::min(1.0, lost == 0 ? delta : std::nextafter(lost + delta, 2.0))};
}

}  // namespace sotto::accountants
