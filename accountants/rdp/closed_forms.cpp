#include "accountants/rdp/closed_forms.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kRounding = std::numeric_limits<double>::epsilon();
constexpr double kMostExponent = 500;  // e^x and sums of it stay finite
constexpr int64_t kMostSummed = 4096;

void check(double value, double order) {
  require(std::isfinite(value) && value >= 0, "a mechanism's parameters must be finite and at least 0, got ", value);
  require(order > 1, "the order must be above 1, got ", order);
}

// log E_P[e^{(α−1) L}] / (α−1) as the expectation of e^{…} − 1, which is added up atom by atom: terms of both signs
// cancel to second order in a small loss, so what they round by is counted.
class Moment {
 public:
  explicit Moment(double order) : order_(order) {}
  void add(double mass, double loss) {
    const double term = mass * std::expm1((order_ - 1) * loss);
    excess_ += term;
    size_ += std::abs(term);
    ++terms_;
  }
  double rdp() const {
    const double raised = excess_ + (terms_ + 8) * kRounding * size_;
    return std::log1p(std::max(raised, 0.0)) / (order_ - 1) * (1 + 8 * kRounding);
  }

 private:
  double order_, excess_ = 0, size_ = 0;
  int terms_ = 0;
};

}  // namespace

double rdp_gaussian(double mu, double order) {
  check(mu, order);
  return order / 2 * mu * mu * (1 + 8 * kRounding);
}

double rdp_laplace(double epsilon, double order) {
  if (std::isinf(epsilon)) return kInfinity;
  check(epsilon, order);
  const double x = (order - 1) * epsilon;
  // α/(2α−1) e^{(α−1)ε} alone is then the sum to double precision, and log(α/(2α−1)) < 0.
  if (x > kMostExponent)
    return std::min(epsilon, (epsilon + (std::log(order / (2 * order - 1)) + 1e-12) / (order - 1)));
  const double up = order / (2 * order - 1) * std::expm1(x),
               down = (order - 1) / (2 * order - 1) * -std::expm1(-order * epsilon);
  const double raised = std::max(up - down + 16 * kRounding * (up + down), 0.0);
  return std::min(rdp_pure(epsilon, 2 * epsilon, order), std::log1p(raised) / (order - 1) * (1 + 8 * kRounding));
}

double rdp_discrete_laplace(double scale, int64_t shift, double order) {
  check(scale, order);
  require(shift >= 1, "the shift must be at least 1, got ", shift);
  if (scale == 0) return kInfinity;
  const double s = static_cast<double>(shift), epsilon = s / scale * (1 + kRounding);
  if (!std::isfinite(epsilon)) return kInfinity;
  const double pure = rdp_pure(epsilon, 2 * epsilon, order);
  if (shift > kMostSummed || (order - 1) * epsilon > kMostExponent) return pure;
  // The losses (|y| − |y − s|) / scale of y ≥ s, 0 < y < s, y ≤ 0 under P(y) = (1−a)/(1+a) a^{|y−s|}, a = e^{−1/scale}.
  const double a = std::exp(-1 / scale), inner = -std::expm1(-1 / scale) / (1 + a);
  Moment moment(order);
  moment.add(1 / (1 + a), s / scale);
  moment.add(std::exp(-s / scale) / (1 + a), -s / scale);
  for (int64_t y = 1; y < shift; ++y)
    moment.add(inner * std::exp((static_cast<double>(y) - s) / scale), (2 * static_cast<double>(y) - s) / scale);
  return std::min(pure, moment.rdp());
}

double rdp_randomized_response(double epsilon, int64_t categories, double order) {
  check(epsilon, order);
  require(categories >= 2, "randomised response needs at least 2 categories, got ", categories);
  if ((order - 1) * epsilon > kMostExponent) return epsilon;
  const double truth = 1 / (1 + static_cast<double>(categories - 1) * std::exp(-epsilon));
  Moment moment(order);
  moment.add(truth, epsilon);
  moment.add(truth * std::exp(-epsilon), -epsilon);
  return std::min(epsilon, moment.rdp());
}

double rdp_pure(double epsilon, double range, double order) {
  if (std::isinf(epsilon)) return kInfinity;
  check(epsilon, order);
  check(range, order);
  return std::min(rdp_randomized_response(epsilon, 2, order), order / 8 * range * range * (1 + 8 * kRounding));
}

double rdp_skellam(double variance, double l1, double l2, double order) {
  check(variance, order);
  check(l1, order);
  check(l2, order);
  if (variance == 0) return kInfinity;
  const auto at_integer = [&](double whole) {
    const double leading = whole * l2 * l2 / 2 / variance;
    const double few = ((2 * whole - 1) * l2 * l2 + 6 * l1) / 4 / variance / variance, many = 1.5 * l1 / variance;
    return (leading + std::min(few, many)) * (1 + 16 * kRounding);
  };
  const double below = std::floor(order), share = order - below;
  if (share == 0) return at_integer(order);
  const double low = below == 1 ? 0 : (below - 1) * at_integer(below), high = below * at_integer(below + 1);
  return (low + share * (high - low)) / (order - 1) * (1 + 8 * kRounding);
}

}  // namespace sotto::accountants
