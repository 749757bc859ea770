#include "accountants/private_selection.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "accountants/rdp/conversion.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

// Relative, for the few operations on positive terms and what finding γ leaves.
constexpr double kUp = 1 + 1e-12;

// E[K] at γ = e^−x; falls with γ.
double mean_at(double shape, double x) {
  const double odds = std::expm1(x);  // (1 − γ) / γ
  if (std::abs(shape) < 1e-9) return odds / x;
  return shape * odds / -std::expm1(-shape * x);
}

double log_inverse_gamma(const TruncatedNegativeBinomial& runs) {
  require(std::isfinite(runs.shape) && runs.shape > -1, "the shape must be finite and above -1, got ", runs.shape);
  require(runs.mean > 1 && runs.mean <= 1e15, "the mean number of runs must be above 1 and at most 10^15, got ",
          runs.mean);
  double low = 0, high = 1;
  while (mean_at(runs.shape, high) < runs.mean) high *= 2;
  for (int i = 0; i < 200 && std::nextafter(low, high) < high; ++i) {
    const double middle = (low + high) / 2;
    (mean_at(runs.shape, middle) < runs.mean ? low : high) = middle;
  }
  return high;
}

void check(const std::vector<double>& orders, const RdpCurve& rdp) {
  require(!orders.empty() && orders.size() == rdp.size(), "need an RDP value an order: ", rdp.size(), " for ",
          orders.size(), " orders");
}

}  // namespace

double selection_gamma(const TruncatedNegativeBinomial& runs) {
  return std::exp(-log_inverse_gamma(runs));
}

RdpCurve private_selection(const std::vector<double>& orders, const RdpCurve& rdp,
                           const TruncatedNegativeBinomial& runs) {
  check(orders, rdp);
  const double log_inverse = log_inverse_gamma(runs);
  double least = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < orders.size(); ++i)
    least = std::min(least, (1 - 1 / orders[i]) * rdp[i] + log_inverse / orders[i]);
  RdpCurve found;
  for (size_t i = 0; i < orders.size(); ++i)
    found.push_back((rdp[i] + std::log(runs.mean) / (orders[i] - 1) + (1 + runs.shape) * least) * kUp);
  return found;
}

RdpCurve private_selection(const std::vector<double>& orders, const RdpCurve& rdp, const PoissonRuns& runs) {
  check(orders, rdp);
  require(runs.mean >= 1 && runs.mean <= 1e15, "the mean number of runs must be between 1 and 10^15, got ", runs.mean);
  RdpCurve found;
  for (size_t i = 0; i < orders.size(); ++i) {
    // A smaller ε has the larger δ.
    const double epsilon = std::log1p(1 / (orders[i] - 1)) * (1 - 1e-14);
    const double lost = runs.mean * delta_from_rdp(orders, rdp, epsilon);
    found.push_back((rdp[i] + std::log(runs.mean) / (orders[i] - 1) + lost) * kUp);
  }
  return found;
}

}  // namespace sotto::accountants
