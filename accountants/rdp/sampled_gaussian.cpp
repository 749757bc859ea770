#include "accountants/rdp/sampled_gaussian.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <vector>

#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kRounding = std::numeric_limits<double>::epsilon();
constexpr int kLargestSummedOrder = 4096;
constexpr double kSmallestIntegratedNoise = 0.1;

// With r = P/Q and u = r − 1, E_Q[u] = 0, so A − 1 = E_Q[r^α] − 1 = E_Q[f(u)] with f(u) = (1+u)^α − 1 − αu ≥ 0
// (Bernoulli). Nothing is subtracted any more, so A − 1 keeps its relative accuracy however small it is. Peers that
// evaluate A itself lose it for small q. `log` is log(A − 1), `magnitude` the largest number that cancelled inside an
// exponent.
struct ExcessMoment {
  double log, magnitude;
};

double log1p_exp(double x) {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

double log_expm1(double x) {
  return x > 40 ? x : std::log(std::expm1(x));
}

double log_sum_exp(const std::vector<double>& logs) {
  const double largest = *std::max_element(logs.begin(), logs.end());
  double sum = 0;
  for (const double each : logs) sum += std::exp(each - largest);
  return largest + std::log(sum);
}

// log f(u) for u = q (e^t − 1).
double log_bernoulli_excess(double order, double q, double log_q, double t) {
  if (log_q + t > 300) {  // u would overflow in u^α; 1 + u = u to double precision
    const double log_u = log_q + t;
    return order * log_u + std::log1p(-std::exp(std::log(order) + (1 - order) * log_u));
  }
  const double u = q * std::expm1(t);
  if (std::abs(u) < 0.1 && std::abs(order * u) < 0.1) {  // the closed form would cancel: sum the binomial series
    double term = order * (order - 1) / 2 * u * u, sum = term;
    for (int k = 3; std::abs(term) > 1e-18 * sum; ++k) sum += term *= (order - k + 1) / k * u;
    return std::log(sum);
  }
  const double log_power = order * std::log1p(u);
  if (log_power > 600) return log_power + std::log1p(-std::exp(std::log1p(order * u) - log_power));
  return std::log(std::expm1(log_power) - order * u);
}

// Trapezoidal rule on the real line in x = z/σ. The integrand is analytic in the strip |Im x| < πσ (there P/Q reaches
// 0) and at most e^{d²/2} times its real size at height d, so the rule's relative error is e^{−2πd/h + d²/2}: h makes
// it e^−42. f grows no faster than e^{max(2,α) x/σ}, so the peaks lie below max(2,α)/σ; 14 beyond, φ is below e^−98.
ExcessMoment integrate(double sigma, double q, double order) {
  const double height = std::min(std::numbers::pi * sigma, 12.0);
  const double h = std::min(0.5, 2 * std::numbers::pi * height / (42 + height * height / 2));
  const double first = -14, last = std::max(2.0, order) / sigma + 15;
  const double log_q = std::log(q);
  const auto nodes = static_cast<int64_t>((last - first) / h) + 1;
  std::vector<double> logs(static_cast<size_t>(nodes));
  size_t peak = 0;
  for (size_t i = 0; i < logs.size(); ++i) {
    const double x = first + static_cast<double>(i) * h;
    logs[i] = log_bernoulli_excess(order, q, log_q, (x - 0.5 / sigma) / sigma) - x * x / 2;
    if (logs[i] > logs[peak]) peak = i;
  }
  const double x = first + static_cast<double>(peak) * h;
  const double log_scale = std::log(h / std::sqrt(2 * std::numbers::pi));
  return {log_sum_exp(logs) + log_scale, x * x + std::abs(logs[peak]) + order * std::abs(log_q)};
}

// log k!, accumulated in long double so that log C(α, k) is good to a rounding of the result.
const std::vector<long double>& log_factorials() {
  static const std::vector<long double> table = [] {
    std::vector<long double> logs(kLargestSummedOrder + 1, 0.0L);
    for (int k = 2; k <= kLargestSummedOrder; ++k) logs[k] = logs[k - 1] + std::log(static_cast<long double>(k));
    return logs;
  }();
  return table;
}

// Integer α: A − 1 = Σ_{k=2}^{α} C(α,k) (1−q)^{α−k} q^k (e^{k(k−1)/2σ²} − 1), all terms positive.
ExcessMoment sum_binomial(double sigma, double q, int order) {
  const auto& log_factorial = log_factorials();
  const double log_q = std::log(q), log_rest = std::log1p(-q);
  std::vector<double> logs;
  logs.reserve(static_cast<size_t>(order) - 1);
  for (int k = 2; k <= order; ++k)
    logs.push_back(static_cast<double>(log_factorial[order] - log_factorial[k] - log_factorial[order - k]) + k * log_q +
                   (order - k) * log_rest + log_expm1(0.5 * k * (k - 1.0) / sigma / sigma));
  const double log_sum = log_sum_exp(logs);
  // In every term that counts, the exponent is at most what the others took away from it.
  return {log_sum, order * (std::abs(log_q) + std::abs(log_rest) + 1) + std::abs(log_sum)};
}

// log A, rounded up: a relative error of 1e-12 of the sum plus what cancelled in the exponents, 16 roundings of it.
double log_moment(const ExcessMoment& excess) {
  const double raised = excess.log + 1e-12 + 16 * kRounding * excess.magnitude;
  return log1p_exp(raised) * (1 + 4 * kRounding);
}

double log_moment_of_integer(double sigma, double q, int order) {
  return order == 1 ? 0.0 : log_moment(sum_binomial(sigma, q, order));
}

}  // namespace

double rdp_sampled_gaussian(double noise_multiplier, double sample_rate, double order) {
  require(std::isfinite(noise_multiplier) && noise_multiplier >= 0,
          "noise_multiplier must be finite and at least 0, got ", noise_multiplier);
  require(sample_rate >= 0 && sample_rate <= 1, "sample_rate must be between 0 and 1, got ", sample_rate);
  require(order >= 1.001 && order <= 1 << 20, "order must be between 1.001 and 2^20, got ", order);
  if (sample_rate == 0) return 0;
  // R falls with σ and rises with q: these limits only raise it, and keep u² above the smallest double.
  const double sigma = std::min(noise_multiplier, 1e50), q = std::max(sample_rate, 1e-100);
  if (sigma < 1e-100) return kInfinity;                                      // 1/σ² would overflow
  const double unsampled = order / 2 / sigma / sigma * (1 + 8 * kRounding);  // sampling only helps
  if (q == 1) return unsampled;

  const bool whole = order == std::floor(order) && order <= kLargestSummedOrder;
  if (whole && order < 4 * (order / sigma + 30))  // fewer terms than nodes
    return log_moment_of_integer(sigma, q, static_cast<int>(order)) / (order - 1) * (1 + 2 * kRounding);
  if (sigma >= kSmallestIntegratedNoise && order <= kLargestSummedOrder * std::max(1.0, sigma))
    return log_moment(integrate(sigma, q, order)) / (order - 1) * (1 + 2 * kRounding);
  if (order > kLargestSummedOrder) return unsampled;
  const double below = std::floor(order), share = order - below;
  const double low = log_moment_of_integer(sigma, q, static_cast<int>(below));
  if (share == 0) return low / (order - 1) * (1 + 2 * kRounding);
  const double high = log_moment_of_integer(sigma, q, static_cast<int>(below) + 1);
  return std::min(unsampled, (low + share * (high - low)) / (order - 1) * (1 + 8 * kRounding));
}

double rdp_sampled_discrete_gaussian(double noise_multiplier, double sample_rate, double order) {
  require(order >= 1.001 && order <= 1 << 20, "order must be between 1.001 and 2^20, got ", order);
  const double below = std::floor(order), share = order - below;
  if (share == 0) return rdp_sampled_gaussian(noise_multiplier, sample_rate, order);
  const double low = below == 1 ? 0.0 : (below - 1) * rdp_sampled_gaussian(noise_multiplier, sample_rate, below);
  const double high = below * rdp_sampled_gaussian(noise_multiplier, sample_rate, below + 1);
  if (std::isinf(high)) return kInfinity;
  return (low + share * (high - low)) / (order - 1) * (1 + 8 * kRounding);
}

}  // namespace sotto::accountants
