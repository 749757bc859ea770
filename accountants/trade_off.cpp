#include "accountants/trade_off.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kRounding = 1e-12;

void check(double alpha) {
  require(alpha >= 0 && alpha <= 1, "alpha must be between 0 and 1, got ", alpha);
}

Bracket outward(double value) {
  return {std::max(0.0, value - kRounding), std::min(1.0, value + kRounding)};
}

double upper_tail(double x) {
  return 0.5 * std::erfc(x / std::numbers::sqrt2);
}

// x with P(N(0,1) > x) = α, by halving: 1e-14 of x.
double upper_quantile(double alpha) {
  double low = -39, high = 39;
  for (int i = 0; i < 100 && std::nextafter(low, high) < high; ++i) {
    const double middle = (low + high) / 2;
    (upper_tail(middle) > alpha ? low : high) = middle;
  }
  return high;
}

// One line of f_{ε,δ}, without its maximum with 0. e^ε may be infinite: at α = 0 it then counts for nothing.
double line(double epsilon, double delta, double alpha) {
  const double steep = alpha == 0 ? 1 - delta : 1 - delta - std::exp(epsilon) * alpha;
  return std::max(steep, std::exp(-epsilon) * (1 - delta - alpha));
}

}  // namespace

Bracket gaussian_trade_off(double mu, double alpha) {
  check(alpha);
  require(std::isfinite(mu) && mu >= 0, "mu must be finite and at least 0, got ", mu);
  if (alpha == 0) return {1, 1};
  if (alpha == 1) return {0, 0};
  return outward(upper_tail(mu - upper_quantile(alpha)));
}

Bracket laplace_trade_off(double epsilon, double alpha) {
  check(alpha);
  require(epsilon >= 0, "epsilon must be at least 0, got ", epsilon);
  const double kept = std::exp(-epsilon);
  if (alpha > 0.5) return outward(kept * (1 - alpha));
  if (alpha >= kept / 2) return outward(alpha == 0 ? 1 : kept / 4 / alpha);
  return outward(1 - alpha / kept);
}

Bracket epsilon_delta_trade_off(double epsilon, double delta, double alpha) {
  check(alpha);
  require(epsilon >= 0, "epsilon must be at least 0, got ", epsilon);
  require(delta >= 0 && delta <= 1, "delta must be between 0 and 1, got ", delta);
  return outward(std::max(0.0, line(epsilon, delta, alpha)));
}

TradeOffCurve::TradeOffCurve(const FixedSchedule& schedule, const Accounting& accounting, int points) {
  require(points >= 2, "a trade-off curve needs at least 2 points, got ", points);
  double last = schedule.epsilon(1e-12, accounting).upper;
  if (!std::isfinite(last)) last = 700;
  for (int i = 0; i < points; ++i) {
    const double share = static_cast<double>(i) / (points - 1), epsilon = last * share * share;
    points_.push_back({epsilon, schedule.delta(epsilon, accounting)});
  }
}

Bracket TradeOffCurve::at(double alpha) const {
  check(alpha);
  double lower = 0, upper = 0;
  for (size_t i = 0; i < points_.size(); ++i) {
    lower = std::max(lower, line(points_[i].epsilon, points_[i].delta.upper, alpha));
    const double least_delta = i + 1 < points_.size() ? points_[i + 1].delta.lower : 0;
    upper = std::max(upper, line(points_[i].epsilon, least_delta, alpha));
  }
  return {outward(lower).lower, std::min(outward(upper).upper, 1 - alpha)};
}

}  // namespace sotto::accountants
