#include "accountants/pld/sum_divergence.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "accountants/pld/numerics.h"
#include "accountants/pld/ratio_sum.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kOutside = 1e-18;         // of the tilted mass: what may be beyond the window
constexpr double kNegligible = 1e-19;      // δ: as good as Chernoff's bound of it
constexpr double kMostPlaces = 1 << 20;    // of a summand
constexpr double kSmall = 1e-13;           // what no tilt of doubles tells apart from 0
constexpr double kFineLattice = 1.0 / 10;  // of a summand's deviation: the variance that a spread adds is h²/4 at most
constexpr size_t kLeastWindow = 1 << 9, kLargestWindow = 1 << 17;

// The summand at one a, by ascending value. Values are rounded up, masses to nearest.
RatioLaw summand(const std::vector<RatioCell>& cells, double a) {
  std::vector<std::pair<double, double>> found;
  for (const RatioCell& cell : cells) {
    if (!(cell.mass > 0)) continue;
    const double unsure = 8 * kUnit * (cell.x + a * cell.y);
    const double mean = cell.x - a * cell.y + unsure;
    const double one = cell.first_x - a * cell.first_y + unsure, other = cell.last_x - a * cell.last_y + unsure;
    const double low = std::min({one, other, mean}), high = std::max({one, other, mean});
    const double share = high > low ? (mean - low) / (high - low) : 0;
    found.emplace_back(low, cell.mass * (1 - share));
    if (share > 0) found.emplace_back(high, cell.mass * share);
  }
  std::sort(found.begin(), found.end());
  RatioLaw law;
  for (const auto& [value, mass] : found) {
    law.value.push_back(value);
    law.mass.push_back(mass);
  }
  return law;
}

// θ ≥ 0 at which the tilted mean is 0, or as large as makes all else vanish.
double centring_tilt(const RatioLaw& law) {
  if (law.slope(0) >= 0) return 0;
  double high = 1 / law.value.back();
  while (law.slope(high) < 0 && high * law.value.back() < 700) high *= 2;
  double low = 0;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (law.slope(middle) < 0 ? low : high) = middle;
  }
  return high;
}

// Without what underflows; that is lost, below 1e-300 a value.
RatioLaw tilted(const RatioLaw& law, double theta) {
  RatioLaw found;
  const double k = law.cumulant(theta);
  for (size_t i = 0; i < law.value.size(); ++i) {
    const double mass = law.mass[i] * std::exp(theta * law.value[i] - k);
    if (!(mass > 1e-300)) continue;
    found.value.push_back(law.value[i]);
    found.mass.push_back(mass);
  }
  return found;
}

double deviation(const RatioLaw& law) {
  const double mean = law.slope(0);
  double sum = 0;
  for (size_t i = 0; i < law.value.size(); ++i) sum += law.mass[i] * (law.value[i] - mean) * (law.value[i] - mean);
  return std::sqrt(sum);
}

// The exponent of the given sign at which Chernoff's bound of what lies beyond the tilted mean is kOutside.
double exponent_for(const RatioLaw& law, double uses, double sign, double spread) {
  double low = 1e-6 / (std::sqrt(uses) * spread), high = 1e4 / spread;
  for (int i = 0; i < 50; ++i) {
    const double eta = std::sqrt(low * high);
    const double bound = uses * (law.cumulant(sign * eta) - sign * eta * law.slope(sign * eta));
    (bound > std::log(kOutside) ? low : high) = eta;
  }
  return sign * high;
}

// E S e^η'(S − top); S > top for every η' ≤ 0, S the sum less uses · zero: at most (top + 1/η) E e^η(S − top), the
// least over some η.
double beyond(const RatioLaw& law, double uses, double zero, double top, double spread) {
  if (uses * (law.value.back() - zero) <= top) return 0;
  double least = kInfinity;
  for (double eta = 1e-3 / (std::sqrt(uses) * spread); eta < 1e4 / spread; eta *= 1.5)
    least = std::min(least, uses * (law.cumulant(eta) - eta * zero) - eta * top + std::log(top + 1 / eta));
  return std::exp(least + 1e-9);
}

// Onto j · h with its mean kept; `lift` · h is added to all values, so that none is negative.
RatioLaw on_lattice(const RatioLaw& law, double h, int64_t lift) {
  RatioLaw lifted = law;
  const double zero = static_cast<double>(lift) * h, up = 16 * kUnit * (zero + std::abs(law.value.back()));
  for (double& each : lifted.value) each = std::max(0.0, each + zero + up);
  return spread_onto_lattice(lifted, h);
}

}  // namespace

SumDivergence::SumDivergence(std::vector<RatioCell> cells, int64_t count, double scale)
    : cells_(std::move(cells)), count_(count), scale_(scale) {
  require(scale > 0 && count >= 1 && count <= 1'000'000'000, "a sum of 1 to 10^9 ratios, got ", count);
}

// E max(0, S) is at most the sum of those of the summands.
double SumDivergence::of_each(const RatioLaw& summand) const {
  double sum = 0;
  for (size_t i = 0; i < summand.value.size(); ++i) sum += summand.mass[i] * std::max(0.0, summand.value[i]);
  return std::min(1.0, sum * static_cast<double>(count_) / scale_ * (1 + 1e-12));
}

double SumDivergence::roughly(double a) const {
  const RatioLaw law = summand(cells_, a);
  if (law.value.back() <= kSmall * a) return of_each(law);
  const double theta = std::max(centring_tilt(law), 1e-300), uses = static_cast<double>(count_);
  // x ≤ e^(θx − 1) / θ
  return std::min(1.0, std::exp(uses * law.cumulant(theta) - 1) / theta / scale_);
}

double SumDivergence::above(double a) const {
  const RatioLaw law = summand(cells_, a);
  if (law.value.back() <= kSmall * a) return of_each(law);
  if (const double rough = roughly(a); rough <= kNegligible) return rough;
  const double uses = static_cast<double>(count_);
  const RatioLaw centred = tilted(law, centring_tilt(law));
  const double spread = deviation(centred);
  if (!(spread > 0)) return 1;
  const double up = exponent_for(centred, uses, 1, spread), down = exponent_for(centred, uses, -1, spread);
  const double wide = uses * (centred.slope(up) - centred.slope(down));
  const auto wanted = static_cast<size_t>(std::min(wide / (kFineLattice * spread), double{kLargestWindow}));
  const size_t size = std::clamp(std::bit_ceil(std::max<size_t>(wanted, 1)), kLeastWindow, kLargestWindow);
  // A spread onto the lattice widens the sum by √uses · h / 2.
  const double margin = std::min(10 * std::sqrt(uses) + 4, static_cast<double>(size / 4));
  const double h =
      std::max(wide / (static_cast<double>(size) - 2 * margin), (law.value.back() - law.value.front()) / kMostPlaces);

  const auto lift = static_cast<int64_t>(std::ceil(std::max(0.0, -law.value.front()) / h)) + 1;
  const RatioLaw lattice = on_lattice(law, h, lift);
  // On the lattice the mean is another by rounding alone; the same tilt makes errors small, whatever it is.
  const double zero = static_cast<double>(lift) * h, theta = centring_tilt(law);
  const double log_moment = lattice.cumulant(theta) - theta * zero;
  const RatioLaw steered = tilted(lattice, theta);
  const auto first =
      static_cast<int64_t>(std::floor(uses * centred.slope(down) / h - margin));  // from the sum's zero on
  const RatioSums sums = sums_of_ratios(steered, steered, h, count_, false, first + count_ * lift, size);

  double sum = 0;
  for (size_t i = 0; i < size; ++i) {
    const double place = static_cast<double>(first + static_cast<int64_t>(i)) * h;
    if (place > 0) sum += (sums.above[i] + sums.error_above) * place * std::exp(-theta * place);
  }
  const double top = static_cast<double>(first + static_cast<int64_t>(size) - 1) * h;
  sum += beyond(steered, uses, zero, top, spread) * std::exp(-theta * top);
  // The moment's rounding is relative, a use.
  const double unsure = 1e-9 + uses * kUnit * (64 + 8 * theta * (law.value.back() - law.value.front() + zero));
  return std::min(1.0, sum * std::exp(uses * log_moment + unsure) / scale_);
}

}  // namespace sotto::accountants
