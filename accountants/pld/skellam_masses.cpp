#include "accountants/pld/skellam_masses.h"

#include <algorithm>
#include <cmath>

#include "accountants/pld/numerics.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kMostVariance = 1e9;
constexpr double kLeastLogMass = -660;  // of doubles that are still normal, and their products with probabilities

// Chernoff's bound: log P(noise ≥ k) ≤ √(k² + v²) − v − k asinh(k / v), √… − v without cancellation.
double log_tail(double k, double variance) {
  return k * k / (std::hypot(k, variance) + variance) - k * std::asinh(k / variance);
}

}  // namespace

double SkellamMasses::reach_of(double variance) {
  double inside = 0, outside = 2;
  while (log_tail(outside, variance) > kLeastLogMass) outside *= 2;
  while (outside - inside > 1) {
    const double middle = std::ceil((inside + outside) / 2);
    if (middle >= outside) break;
    (log_tail(middle, variance) > kLeastLogMass ? inside : outside) = middle;
  }
  return outside;
}

SkellamMasses::SkellamMasses(double variance) {
  require(variance > 0 && variance <= kMostVariance, "Skellam noise needs a variance above 0 and at most ",
          kMostVariance, ", got ", variance);
  const auto reach = static_cast<size_t>(reach_of(variance));
  std::vector<double> ratio(reach + 1);
  // Each step downwards multiplies an error by ratio², which is at most e^(−2k/(v+k)) or so.
  double next = 0;
  for (size_t k = reach + 64 + 4 * static_cast<size_t>(std::sqrt(variance)) + 1; k-- > 0;) {
    next = 1 / (2 * (static_cast<double>(k) + 1) / variance + next);
    if (k <= reach) ratio[k] = next;
  }
  mass_.resize(reach + 1);
  mass_[0] = 1;
  for (size_t k = 1; k <= reach; ++k) mass_[k] = mass_[k - 1] * ratio[k - 1];
  double sum = 0;
  for (size_t k = reach; k >= 1; --k) sum += 2 * mass_[k];
  for (double& each : mass_) each /= 1 + sum;
}

double SkellamMasses::mass(double k) const {
  const double away = std::abs(k);
  return away <= reach() ? mass_[static_cast<size_t>(away)] : 0;
}

double SkellamMasses::log_mass(double k) const {
  return std::log(mass(k));
}

double SkellamMasses::tail(double k) const {
  if (k < 1) return 1;
  const double at = std::min(k, reach() - 1);
  const double ratio = mass(at + 1) / mass(at);
  return std::min(1.0, mass(at) / (1 - ratio) * (1 + 1e-6));
}

}  // namespace sotto::accountants
