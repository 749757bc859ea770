#include "accountants/zcdp/conversion.h"

#include <cmath>
#include <limits>

#include "accountants/rdp/conversion.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kNoLimit = 60;  // log(α − 1)

// Minimises a function with one valley over α = 1 + e^x, x ≤ highest, by golden section.
template <class Value>
double least(double highest, const Value& at) {
  constexpr double kShare = 0.61803398874989484820;
  double low = std::fmin(-30, highest - 1), high = highest;
  const double end = at(1 + std::exp(highest) * (1 - 1e-15));
  double left = high - kShare * (high - low), right = low + kShare * (high - low);
  double at_left = at(1 + std::exp(left)), at_right = at(1 + std::exp(right));
  for (int i = 0; i < 90 && high - low > 1e-10; ++i) {
    if (at_left <= at_right) {
      high = right, right = left, at_right = at_left;
      at_left = at(1 + std::exp(left = high - kShare * (high - low)));
    } else {
      low = left, left = right, at_left = at_right;
      at_right = at(1 + std::exp(right = low + kShare * (high - low)));
    }
  }
  return std::fmin(end, std::fmin(at_left, at_right));
}

double epsilon_up_to(double highest, double rho, double delta) {
  if (rho == 0) return 0;
  if (delta <= 0 || std::isinf(rho)) return std::numeric_limits<double>::infinity();
  return std::fmax(0.0, least(highest, [&](double order) { return epsilon_at_order(order, rho * order, delta); }));
}

double delta_up_to(double highest, double rho, double epsilon) {
  if (rho == 0 || std::isinf(epsilon)) return 0;
  if (std::isinf(rho)) return 1;
  return delta_of_log(least(highest, [&](double order) { return log_delta_at_order(order, rho * order, epsilon); }));
}

double check_omega(double omega) {
  require(omega > 1, "omega must be above 1, got ", omega);
  return std::log(omega - 1);
}

}  // namespace

double epsilon_from_zcdp(double rho, double delta) {
  return epsilon_up_to(kNoLimit, rho, delta);
}

double delta_from_zcdp(double rho, double epsilon) {
  return delta_up_to(kNoLimit, rho, epsilon);
}

double epsilon_from_tcdp(double rho, double omega, double delta) {
  return epsilon_up_to(check_omega(omega), rho, delta);
}

double delta_from_tcdp(double rho, double omega, double epsilon) {
  return delta_up_to(check_omega(omega), rho, epsilon);
}

double largest_rho(double epsilon, double delta) {
  require(epsilon > 0, "epsilon must be above 0, got ", epsilon);
  require(delta > 0 && delta < 1, "delta must be above 0 and below 1, got ", delta);
  double fits = 0, too_much = epsilon;
  while (epsilon_from_zcdp(too_much, delta) <= epsilon) too_much *= 2;
  for (int i = 0; i < 1100 && std::nextafter(fits, too_much) < too_much; ++i) {
    const double middle = fits + (too_much - fits) / 2;
    (epsilon_from_zcdp(middle, delta) <= epsilon ? fits : too_much) = middle;
  }
  return fits;
}

}  // namespace sotto::accountants
