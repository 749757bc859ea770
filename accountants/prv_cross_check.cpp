#include "accountants/prv_cross_check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/error.h"

namespace sotto::accountants {
namespace {

using Complex = std::complex<double>;

constexpr double kEta = 1e-11;
constexpr size_t kSize = size_t{1} << 17, kRoughSize = size_t{1} << 12;
constexpr double kTransformError = 6e-15;  // of a transform of masses that sum to 1, 17 stages of it
constexpr double kUnknown = 1e-15;         // of a use: its masses' sum is rounded
constexpr double kOutside = 1e-12;         // what may come round the circle
constexpr double kMostReach = 1000;
constexpr double kLeastNoise = 0.3, kMostNoise = 100;
constexpr int64_t kMostUses = 1'000'000;

void transform(std::vector<Complex>& x, double sign) {
  const size_t size = x.size();
  if (size == 1) return;
  std::vector<Complex> even(size / 2), odd(size / 2);
  for (size_t i = 0; i < size / 2; ++i) even[i] = x[2 * i], odd[i] = x[2 * i + 1];
  transform(even, sign);
  transform(odd, sign);
  for (size_t i = 0; i < size / 2; ++i) {
    const double angle = sign * 2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(size);
    const Complex turned = std::polar(1.0, angle) * odd[i];
    x[i] = even[i] + turned;
    x[i + size / 2] = even[i] - turned;
  }
}

double normal_below(double x) {
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

// P(loss ≤ t) of a step, for removing and for adding a unit.
double loss_below(double sigma, double rate, bool remove, double t) {
  const double lifted = std::expm1(remove ? t : -t) + rate;
  if (lifted <= 0) return remove ? 0 : 1;
  const double x = sigma * sigma * std::log(lifted / rate) + 0.5;
  return remove ? (1 - rate) * normal_below(x / sigma) + rate * normal_below((x - 1) / sigma)
                : normal_below(-x / sigma);
}

// One use, rounded to the middle of its cell; by how much that moves its mean, and how well that is known.
struct OneUse {
  std::vector<double> mass = {};
  double moved = 0, mean_error = 0, outside = 0;
};

double place(size_t i, size_t size, double h) {
  return (static_cast<double>(i) - static_cast<double>(size) / 2) * h;
}

OneUse round_use(double sigma, double rate, bool remove, double h, size_t size) {
  OneUse use{.mass = std::vector<double>(size)};
  const auto below = [&](double t) { return loss_below(sigma, rate, remove, t); };
  double total = 0, moved = 0, low = below(place(0, size, h) - h / 2);
  for (size_t i = 0; i < size; ++i) {
    const double t = place(i, size, h), high = below(t + h / 2);
    const double p = high - low, middle = below(t);
    use.mass[i] = p;
    total += p;
    if (p > 0) {
      // ∫ (s − t) dF(s) over the cell by parts, the rest by Simpson's rule on two halves; its distance from the rule on
      // the whole is fifteen times its error where cells are small, and the error is taken for that distance.
      const double quarters = below(t - h / 4) + below(t + h / 4);
      const double whole = h / 6 * (low + 4 * middle + high),
                   halves = h / 12 * (low + 4 * quarters + 2 * middle + high);
      moved += h / 2 * (high + low) - halves;
      use.mean_error += std::abs(halves - whole);
    }
    low = high;
  }
  use.moved = moved / total;
  use.outside = std::max(0.0, 1 - total - kUnknown);
  for (double& each : use.mass) each /= total;
  return use;
}

struct Chernoff {
  double log_bound, theta;
};

// Chernoff's bound of the sum beyond ±reach, by its logarithm, at one exponent.
double chernoff_at(const std::vector<OneUse>& uses, const std::vector<double>& counts, double h, double reach,
                   double theta) {
  double bound = -std::abs(theta) * reach;
  for (size_t k = 0; k < uses.size(); ++k) {
    const std::vector<double>& mass = uses[k].mass;
    double sum = 0;
    for (size_t i = 0; i < mass.size(); ++i)
      if (mass[i] > 0) sum += mass[i] * std::exp(theta * place(i, mass.size(), h));
    bound += counts[k] * std::log(sum);
  }
  return std::isnan(bound) ? 0 : std::min(bound, 0.0);
}

Chernoff chernoff(const std::vector<OneUse>& uses, const std::vector<double>& counts, double h, double reach,
                  double sign) {
  Chernoff least{0, sign};
  for (double theta = 0.25; theta < 200; theta *= 1.25)
    if (const double bound = chernoff_at(uses, counts, h, reach, sign * theta); bound < least.log_bound)
      least = {bound, sign * theta};
  return least;
}

}  // namespace

double PrvCrossCheck::Rounded::delta(double epsilon) const {
  double sum = 0;
  for (size_t i = 0; i < mass.size(); ++i) {
    const double loss = place(i, mass.size(), h) + shift;
    if (loss > epsilon) sum += mass[i] * -std::expm1(epsilon - loss);
  }
  return sum;
}

PrvCrossCheck::Rounded PrvCrossCheck::rounded(const std::vector<Uses>& uses, bool remove) {
  std::vector<double> counts;
  double all = 0;
  for (const Uses& each : uses) counts.push_back(static_cast<double>(each.count)), all += counts.back();
  const auto rounded_uses = [&](double h, size_t size) {
    std::vector<OneUse> made;
    for (const Uses& each : uses) made.push_back(round_use(each.sigma, each.rate, remove, h, size));
    return made;
  };
  // As wide a circle as it takes, and not wider, since h goes with it; found on a rough grid, proven on the fine one.
  double reach = 1;
  std::array<Chernoff, 2> ends;
  for (;; reach *= 1.25) {
    if (reach > kMostReach) return {.lost = 1};  // nothing is known
    const double h = 2 * reach / static_cast<double>(kRoughSize);
    const std::vector<OneUse> rough = rounded_uses(h, kRoughSize);
    ends = {chernoff(rough, counts, h, reach, 1), chernoff(rough, counts, h, reach, -1)};
    double outside = std::exp(ends[0].log_bound) + std::exp(ends[1].log_bound);
    for (size_t k = 0; k < uses.size(); ++k) outside += counts[k] * rough[k].outside;
    if (outside <= kOutside) break;
  }
  const double h = 2 * reach / static_cast<double>(kSize);
  const std::vector<OneUse> one = rounded_uses(h, kSize);

  Rounded sum{.h = h, .error = h * std::sqrt(all / 2 * std::log(2 / kEta)), .lost = kEta};
  for (const Chernoff& end : ends) sum.lost += std::exp(chernoff_at(one, counts, h, reach, end.theta));
  std::vector<Complex> product(kSize, 1.0);
  std::vector<double> sensitivity(kSize);  // Σ_j k_j |product| / |z_j|: by how much an error of each z_j counts
  for (size_t k = 0; k < uses.size(); ++k) {
    std::vector<Complex> x(one[k].mass.begin(), one[k].mass.end());
    std::rotate(x.begin(), x.begin() + kSize / 2, x.end());
    transform(x, -1);
    for (size_t i = 0; i < kSize; ++i) {
      const double size = std::max(std::abs(x[i]), kTransformError);
      const double last = std::pow(size, counts[k] - 1);
      sensitivity[i] = sensitivity[i] * last * size + std::abs(product[i]) * counts[k] * last;
      product[i] *= std::pow(x[i], counts[k]);
    }
    sum.shift += counts[k] * one[k].moved;
    sum.error += counts[k] * one[k].mean_error;
    sum.lost += counts[k] * (one[k].outside + kUnknown);
  }
  for (size_t i = 0; i < kSize; ++i) sum.lost += kTransformError * (sensitivity[i] + std::abs(product[i]));
  transform(product, 1);
  std::rotate(product.begin(), product.begin() + kSize / 2, product.end());
  for (const Complex& each : product) sum.mass.push_back(each.real() / static_cast<double>(kSize));
  return sum;
}

std::optional<std::string> PrvCrossCheck::refuses(const EventList& events, NeighbouringRelation relation) {
  if (relation == NeighbouringRelation::replace_one) return "the cross-check knows add_remove and zero_out";
  int64_t count = 0;
  for (const EventUses& each : events) {
    const auto* sampled = std::get_if<PoissonSampledGaussian>(&each.event.mechanism);
    const auto* plain = std::get_if<Gaussian>(&each.event.mechanism);
    if (sampled == nullptr && plain == nullptr)
      return cat("the cross-check has no bound for ", to_json(each.event),
                 ", only for Gaussians and their Poisson samples");
    const double sigma = sampled ? sampled->noise_multiplier : plain->noise_multiplier;
    if (sigma < kLeastNoise || sigma > kMostNoise)
      return cat("the cross-check takes noise multipliers from ", kLeastNoise, " to ", kMostNoise, ", got ", sigma);
    if (each.count > kMostUses - count) return "the cross-check takes 10^6 uses at most";
    count += each.count;
  }
  return count > 0 ? std::nullopt : std::optional<std::string>("there is nothing to check");
}

PrvCrossCheck::PrvCrossCheck(const EventList& events, NeighbouringRelation relation) {
  if (const auto reason = refuses(events, relation)) throw Error(ErrorKind::configuration, *reason);
  std::vector<Uses> uses;
  for (const EventUses& each : events) {
    const auto* sampled = std::get_if<PoissonSampledGaussian>(&each.event.mechanism);
    const double sigma =
        sampled ? sampled->noise_multiplier : std::get<Gaussian>(each.event.mechanism).noise_multiplier;
    const double rate = sampled ? sampled->sample_rate : 1;
    if (rate > 0 && each.count > 0) uses.push_back({sigma, rate, each.count});
  }
  for (const bool remove : {true, false}) directions_.push_back(rounded(uses, remove));
}

Bracket PrvCrossCheck::delta(double epsilon) const {
  Bracket found{0, 0};
  for (const Rounded& each : directions_) {
    found.lower = std::max(found.lower, each.delta(epsilon + each.error) - each.lost);
    found.upper = std::max(found.upper, each.delta(epsilon - each.error) + each.lost);
  }
  return {found.lower, std::min(1.0, found.upper)};
}

Bracket PrvCrossCheck::epsilon(double delta) const {
  const double top = kMostReach;
  // The least ε of which an end of the bracket of δ is at most delta, from the side asked for.
  const auto crossing = [&](auto&& end) {
    if (end(0.0) <= delta) return std::pair{0.0, 0.0};
    double fails = 0, fits = top;
    for (int i = 0; i < 60; ++i) {
      const double middle = (fails + fits) / 2;
      (end(middle) <= delta ? fits : fails) = middle;
    }
    return std::pair{fails, fits};
  };
  const double lower = crossing([&](double epsilon) { return this->delta(epsilon).lower; }).first;
  const bool reached = this->delta(top).upper <= delta;
  const double upper = reached ? crossing([&](double epsilon) { return this->delta(epsilon).upper; }).second
                               : std::numeric_limits<double>::infinity();
  return {lower, upper};
}

}  // namespace sotto::accountants
