#include "accountants/pld/analytic_gaussian.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "accountants/pld/numerics.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kMargin = 1e-10;
constexpr double kSmallMu = 0.5;

// Φ(−x) / φ(x) for x ≥ 0, to 1e-13: where erfc(x/√2) e^{x²/2} would lose digits, Stieltjes' continued fraction.
double mills_ratio(double x) {
  if (x < 8) return std::sqrt(std::numbers::pi / 2) * std::erfc(x / std::numbers::sqrt2) * std::exp(x * x / 2);
  double fraction = x;
  for (int k = 60; k >= 1; --k) fraction = x + k / fraction;
  return 1 / fraction;
}

// log δ. With a = ε/μ − μ/2, δ = ∫_0^∞ φ(a + s)(1 − e^{−μs}) ds, where nothing is subtracted.
double log_gaussian_delta(double mu, double epsilon) {
  const double a = epsilon / mu - mu / 2, b = epsilon / mu + mu / 2;
  if (mu > kSmallMu) {
    if (a >= 0) return log_normal_density(a) + std::log(mills_ratio(a) - mills_ratio(b));
    return std::log(0.5 * std::erfc(a / std::numbers::sqrt2) - std::exp(log_normal_density(a)) * mills_ratio(b));
  }
  // Gauss and Legendre's rule with four nodes on panels of an eighth of the integrand's scale or less: 1e-14.
  constexpr int kPanels = 400;
  const double end = std::max(0.0, -a) + std::min(12.0, 45 / std::max(1.0, a)), half = end / kPanels / 2;
  double sum = 0;
  for (int panel = 0; panel < kPanels; ++panel)
    for (int i = 0; i < 4; ++i) {
      const double s = half * (2 * panel + 1 + kGaussNodes[i]);
      sum += kGaussWeights[i] * -std::expm1(-mu * s) * std::exp(-s * (a + 0.5 * s));
    }
  return log_normal_density(a) + std::log(sum * half);
}

void check(double mu) {
  require(std::isfinite(mu) && mu > 0, "mu must be finite and above 0, got ", mu);
}

}  // namespace

Bracket gaussian_delta(double mu, double epsilon) {
  check(mu);
  require(epsilon >= 0, "epsilon must be at least 0, got ", epsilon);
  if (std::isinf(epsilon)) return {0, std::numeric_limits<double>::min()};
  const double delta = std::exp(log_gaussian_delta(mu, epsilon));
  return {delta * (1 - kMargin), std::clamp(delta * (1 + kMargin), std::numeric_limits<double>::min(), 1.0)};
}

Bracket gaussian_epsilon(double mu, double delta) {
  check(mu);
  require(delta > 0 && delta < 1, "delta must be above 0 and below 1, got ", delta);
  const double target = std::log(delta);
  const auto solve = [&](double margin, bool upper) {
    if (log_gaussian_delta(mu, 0) + margin <= target) return 0.0;
    // δ ≤ Φ(μ/2 − ε/μ) ≤ exp(−(ε/μ − μ/2)²/2)
    double low = 0, high = mu * (mu / 2 + std::sqrt(-2 * target) + 1);
    for (int i = 0; i < 200 && high - low > 4e-16 * high; ++i) {
      const double middle = (low + high) / 2;
      (log_gaussian_delta(mu, middle) + margin <= target ? high : low) = middle;
    }
    return upper ? high : low;
  };
  return {solve(-kMargin, false), solve(kMargin, true)};
}

}  // namespace sotto::accountants
