#include "accountants/rdp/poisson_sampled.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sotto::accountants {
namespace {

constexpr int kMostSummed = 512;
constexpr double kRounding = std::numeric_limits<double>::epsilon();

// (α−1) R(α) at the integers up to kMostSummed, or as far as anybody asks.
class Moments {
 public:
  Moments(double sample_rate, bool reflects, const std::function<double(double)>& rdp, int most)
      : c_(reflects ? 1 : 3), log_rate_(std::log(sample_rate)), log_rest_(std::log1p(-sample_rate)) {
    for (int l = 2; l <= most; ++l) weighted_.push_back((l - 1) * rdp(l));
    for (int l = 0; l <= most; ++l) log_factorial_.push_back(std::lgamma(l + 1.0));
  }

  double at(int order) const {
    if (order == 1) return 0;
    const double a = order;
    // As A − 1, so that a small q keeps its digits: the binomial weights add up to 1.
    //   A − 1 = C(α,2) q² (1−q)^{α−2} (e^{R(2)} − 1) + Σ_{l≥3} C(α,l) q^l (1−q)^{α−l} (c e^{(l−1)R(l)} − 1)
    double largest = -std::numeric_limits<double>::infinity(), magnitude = 0;
    std::vector<double> logs;
    for (int l = 2; l <= order; ++l) {
      const double weighted = weighted_[static_cast<size_t>(l - 2)], c = l == 2 ? 1 : c_;
      const double factor = weighted > 30 ? weighted + std::log(c) : std::log(c * std::expm1(weighted) + (c - 1));
      const double binomial = log_factorial_[order] - log_factorial_[l] - log_factorial_[order - l];
      logs.push_back(binomial + l * log_rate_ + (a - l) * log_rest_ + factor);
      largest = std::max(largest, logs.back());
      magnitude =
          std::max(magnitude, std::abs(logs.back()) + 4 * log_factorial_[order] - l * log_rate_ - a * log_rest_);
    }
    if (std::isinf(largest)) return largest > 0 ? largest : 0;
    double sum = 0;
    for (const double each : logs) sum += std::exp(each - largest);
    const double log_excess = largest + std::log(sum) + 1e-12 + 16 * kRounding * magnitude;
    return log_excess > 40 ? log_excess + 1e-15 : std::log1p(std::exp(log_excess));
  }

 private:
  double c_, log_rate_, log_rest_;
  std::vector<double> weighted_, log_factorial_;
};

}  // namespace

std::vector<double> rdp_poisson_sampled(double sample_rate, bool reflects,
                                        const std::function<double(double order)>& rdp,
                                        const std::vector<double>& orders) {
  std::vector<double> found;
  if (sample_rate == 0) return std::vector<double>(orders.size(), 0.0);
  int most = 2;
  for (const double order : orders)
    if (order <= kMostSummed) most = std::max(most, static_cast<int>(std::ceil(order)));
  const Moments moments(std::max(sample_rate, 1e-100), reflects, rdp, sample_rate < 1 ? most : 1);
  for (const double order : orders) {
    double bound = rdp(order);
    if (sample_rate < 1 && order <= kMostSummed) {
      const double below = std::floor(order), share = order - below;
      const double low = moments.at(static_cast<int>(below));
      const double high = share == 0 ? low : moments.at(static_cast<int>(below) + 1);
      bound = std::min(bound, (low + share * (high - low)) / (order - 1) * (1 + 8 * kRounding));
    }
    found.push_back(std::isnan(bound) ? std::numeric_limits<double>::infinity() : bound);
  }
  // R grows with the order, so a bound at one order holds below it, too.
  for (size_t i = found.size(); i-- > 1;) found[i - 1] = std::min(found[i - 1], found[i]);
  return found;
}

}  // namespace sotto::accountants
