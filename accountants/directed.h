#pragma once
#include <cmath>
#include <limits>

namespace sotto::accountants {

// Arithmetic against the spender: each result is the exact one, or a double next above (`_up`) or below (`_down`) it.
// Operands are non-negative. A fused multiply-add shows the sign of the rounding error, and with it whether the result
// is exact: what fits a budget to the last bit is not refused for a rounding that did not happen.

// Below it the error of a product may itself underflow, and is taken to be there.
inline constexpr double kErrorsShowAbove = 1e-270;

inline double next_up(double x) {
  return std::nextafter(x, std::numeric_limits<double>::infinity());
}

inline double times_up(double a, double b) {
  if (a == 0 || b == 0) return 0;  // none of what costs infinity costs nothing
  const double product = a * b;
  if (std::isinf(product)) return product;
  return product < kErrorsShowAbove || std::fma(a, b, -product) > 0 ? next_up(product) : product;
}

inline double divide_up(double a, double b) {
  if (a == 0) return 0;
  const double quotient = a / b;
  if (std::isinf(quotient)) return quotient;
  return a < kErrorsShowAbove || quotient < kErrorsShowAbove || std::fma(quotient, b, -a) < 0 ? next_up(quotient)
                                                                                              : quotient;
}

inline double square_down(double x) {
  const double square = x * x;
  if (std::isinf(square)) return std::numeric_limits<double>::max();
  return square < kErrorsShowAbove || std::fma(x, x, -square) < 0 ? std::nextafter(square, 0.0) : square;
}

}  // namespace sotto::accountants
