#pragma once
#include <cmath>
#include <limits>
#include <numbers>

namespace sotto::accountants {

inline constexpr double kUnit = 0x1p-53;  // u: the relative error of one rounding
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Gauss and Legendre's rule with four nodes on [−1, 1].
inline constexpr double kGaussNodes[4] = {-0.86113631159405257522, -0.33998104358485626480, 0.33998104358485626480,
                                          0.86113631159405257522};
inline constexpr double kGaussWeights[4] = {0.34785484513745385737, 0.65214515486254614263, 0.65214515486254614263,
                                            0.34785484513745385737};

// The standard normal distribution: P(Z > x), and log φ(x).
inline double normal_tail(double x) {
  return 0.5 * std::erfc(x / std::numbers::sqrt2);
}
inline double log_normal_density(double x) {
  return -0.5 * x * x - 0.5 * std::log(2 * std::numbers::pi);
}

}  // namespace sotto::accountants
