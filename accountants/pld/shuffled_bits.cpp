#include "accountants/pld/shuffled_bits.h"

#include <algorithm>
#include <cmath>

#include "accountants/binomial.h"
#include "accountants/pld/delta_curve.h"
#include "accountants/pld/numerics.h"

namespace sotto::accountants {
namespace {

constexpr size_t kLevels = 400;
constexpr double kTrimmed = 1e-24;  // of the mode: what is not convolved, and counts as lost
constexpr double kWork = 1.5e9;     // multiplications in all
constexpr double kMostBlocks = 400, kLeastBlocks = 40;
constexpr double kDeviations = 12;

BinomialMasses trimmed(BinomialMasses masses) {
  const double most = *std::max_element(masses.mass.begin(), masses.mass.end());
  const auto matters = [&](double each) { return each > kTrimmed * most; };
  const auto first = std::find_if(masses.mass.begin(), masses.mass.end(), matters);
  const auto last = std::find_if(masses.mass.rbegin(), masses.mass.rend(), matters).base();
  masses.first += static_cast<double>(first - masses.mass.begin());
  masses.mass = {first, last};
  return masses;
}

BinomialMasses binomial(double trials, double probability) {
  return trimmed(BinomialMasses(trials, probability));
}

std::vector<double> convolved(const std::vector<double>& one, const std::vector<double>& other) {
  std::vector<double> sum(one.size() + other.size() - 1);
  const size_t size = other.size();
  const double* __restrict from = other.data();
  for (size_t i = 0; i < one.size(); ++i) {
    double* __restrict to = sum.data() + i;
    const double times = one[i];
    for (size_t j = 0; j < size; ++j) to[j] += times * from[j];
  }
  return sum;
}

// δ of the pair at each level, where larger, into `worst`.
void raise_to(const std::vector<double>& t, double r, double step, std::vector<double>& worst) {
  const size_t size = t.size() + 1;
  std::vector<double> p(size + 1), q(size + 1), ratio(size);  // sums from there on
  double error = 0;
  for (size_t c = size; c-- > 0;) {
    const double here = c < t.size() ? t[c] : 0, before = c > 0 ? t[c - 1] : 0;
    const double one = (1 - r) * before + r * here, other = r * before + (1 - r) * here;
    ratio[c] = other > 0 ? one / other : kInfinity;
    p[c] = p[c + 1] + one;
    q[c] = q[c + 1] + other;
  }
  error = 8 * kUnit * static_cast<double>(size);
  size_t first = 0;
  for (size_t i = 0; i < worst.size(); ++i) {
    const double a = std::exp(static_cast<double>(i) * step);
    while (first < size && ratio[first] < a) ++first;
    const double delta = p[first] - a * q[first] + error * (p[first] + a * q[first]) + 1e3 * kTrimmed;
    worst[i] = std::max(worst[i], delta);
  }
}

}  // namespace

LossCells shuffled_bits_above(double epsilon, double reports) {
  const double r = 1 / (1 + std::exp(epsilon)), others = reports - 1, variance = r * (1 - r);
  const double deviation = (1 - 2 * r) / std::sqrt(reports * variance);
  const double most = std::min(epsilon, kDeviations * deviation * (1 + 20 / std::sqrt(reports * variance)));
  const double step = most / static_cast<double>(kLevels - 1);
  const double blocks = std::clamp(kWork / (70 * reports * variance), kLeastBlocks, kMostBlocks);
  const double size = std::max(1.0, std::ceil((others + 1) / blocks));
  std::vector<double> worst(kLevels);
  for (double least = 0; least <= others; least += size) {
    const double largest = std::min(others, least + size - 1);
    const BinomialMasses one = binomial(least, 1 - r), other = binomial(others - largest, r);
    raise_to(convolved(one.mass, other.mass), r, step, worst);
  }
  // At ε no output of one report has a larger ratio.
  if (most == epsilon) worst.back() = std::min(worst.back(), 1e-20);
  DeltaCurve curve{{}, std::move(worst)};
  for (size_t i = 0; i < kLevels; ++i) curve.level.push_back(static_cast<double>(i) * step);
  return cells_over_curve(curve);
}

}  // namespace sotto::accountants
