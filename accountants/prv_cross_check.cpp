#include "accountants/prv_cross_check.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/error.h"

namespace sotto::accountants {
namespace {

using Complex = std::complex<double>;

constexpr double kEta = 1e-11;
constexpr size_t kSize = size_t{1} << 15;
constexpr double kMeanError = 1e-9;        // of a use: Simpson's rule on cells of a thousandth of a deviation
constexpr double kTransformError = 5e-15;  // of a transform of masses that sum to 1, 15 stages of it
constexpr double kOutside = 1e-12;         // what may come round the circle
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

// One use, rounded to the middle of its cell; and by how much that moves its mean.
struct OneUse {
  std::vector<double> mass;
  double moved = 0, outside = 0;
};

OneUse round_use(double sigma, double rate, bool remove, double h) {
  OneUse use{std::vector<double>(kSize), 0, 0};
  const auto below = [&](double t) { return loss_below(sigma, rate, remove, t); };
  double total = 0, mean = 0, rounded_mean = 0;
  for (size_t i = 0; i < kSize; ++i) {
    const double t = (static_cast<double>(i) - kSize / 2.0) * h, low = t - h / 2, high = t + h / 2;
    const double p = below(high) - below(low);
    use.mass[i] = p;
    total += p;
    rounded_mean += p * t;
    // ∫ (s − t) dF(s) over the cell by parts, the rest by Simpson's rule.
    mean += p * t + h / 2 * (below(high) + below(low)) - h / 6 * (below(low) + 4 * below(t) + below(high));
  }
  use.moved = (mean - rounded_mean) / total;
  use.outside = std::max(0.0, 1 - total) + 1e-15;
  for (double& each : use.mass) each /= total;
  return use;
}

// log of Chernoff's bound of the sum beyond ±reach, the least over some exponents.
double chernoff(const std::vector<OneUse>& uses, const std::vector<double>& counts, double h, double reach,
                double sign) {
  double least = 0;
  for (double theta = 0.25; theta < 200; theta *= 1.25) {
    double bound = -theta * reach;
    for (size_t k = 0; k < uses.size(); ++k) {
      double sum = 0;
      for (size_t i = 0; i < kSize; ++i)
        if (uses[k].mass[i] > 0)
          sum += uses[k].mass[i] * std::exp(sign * theta * (static_cast<double>(i) - kSize / 2.0) * h);
      bound += counts[k] * std::log(sum);
    }
    least = std::min(least, std::isnan(bound) ? 0 : bound);
  }
  return least;
}

}  // namespace

double PrvCrossCheck::Rounded::delta(double epsilon) const {
  double sum = 0;
  for (size_t i = 0; i < mass.size(); ++i) {
    const double loss = (static_cast<double>(i) - static_cast<double>(mass.size()) / 2) * h + shift;
    if (loss > epsilon) sum += mass[i] * -std::expm1(epsilon - loss);
  }
  return sum;
}

PrvCrossCheck::Rounded PrvCrossCheck::rounded(const std::vector<Uses>& uses, bool remove) {
  std::vector<double> counts;
  double all = 0;
  for (const Uses& each : uses) counts.push_back(static_cast<double>(each.count)), all += counts.back();
  // As wide a circle as it takes, and not wider: h goes with it.
  for (double reach = 1;; reach *= 1.5) {
    const double h = 2 * reach / static_cast<double>(kSize);
    std::vector<OneUse> one;
    double outside = 0;
    for (const Uses& each : uses) {
      one.push_back(round_use(each.sigma, each.rate, remove, h));
      outside += static_cast<double>(each.count) * one.back().outside;
    }
    const double folded = std::exp(chernoff(one, counts, h, reach, 1)) + std::exp(chernoff(one, counts, h, reach, -1));
    if (outside + folded > kOutside && reach < 1000) continue;

    Rounded sum;
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
    }
    double rounding = 0;
    for (size_t i = 0; i < kSize; ++i) rounding += kTransformError * (sensitivity[i] + std::abs(product[i]));
    transform(product, 1);
    std::rotate(product.begin(), product.begin() + kSize / 2, product.end());
    for (const Complex& each : product) sum.mass.push_back(each.real() / static_cast<double>(kSize));
    sum.h = h;
    sum.error = h * std::sqrt(all / 2 * std::log(2 / kEta)) + all * kMeanError;
    sum.lost = kEta + outside + folded + rounding;
    return sum;
  }
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
  const double top = directions_.front().h * static_cast<double>(kSize);
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
