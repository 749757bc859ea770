#include "accountants/pld/steering.h"

#include <algorithm>
#include <cmath>

#include "accountants/pld/numerics.h"

namespace sotto::accountants {
namespace {

constexpr double kLargestExponent = 650;
constexpr double kLeastTheta = 1e-6, kMostTheta = 1e14;

// What powers s · loss are lowered by, so that e^power and sums of some are doubles.
double lowered_by(const LossSketch& sketch, double s) {
  double most = 0;
  for (const double loss : sketch.loss) most = std::max(most, s * loss);
  return std::max(0.0, most - kLargestExponent);
}

// Σ n log E e^{s loss}.
double cumulant(const std::vector<SketchedUses>& uses, double s) {
  double total = 0;
  for (const auto& [sketch, count] : uses) {
    const double lowered = lowered_by(sketch, s);
    double sum = 0;
    for (size_t i = 0; i < sketch.mass.size(); ++i)
      sum += sketch.mass[i] * (lowered == 0 ? std::expm1(s * sketch.loss[i]) : std::exp(s * sketch.loss[i] - lowered));
    total += count * (lowered == 0 ? std::log1p(sum) : lowered + std::log(sum));
  }
  return total;
}

double variance(const std::vector<SketchedUses>& uses, double s) {
  double total = 0;
  for (const auto& [sketch, count] : uses) {
    double sum = 0, first = 0, second = 0;
    const double lowered = lowered_by(sketch, s);
    for (size_t i = 0; i < sketch.mass.size(); ++i) {
      const double weight = sketch.mass[i] * std::exp(s * sketch.loss[i] - lowered);
      sum += weight;
      first += weight * sketch.loss[i];
    }
    for (size_t i = 0; i < sketch.mass.size(); ++i) {
      const double off = sketch.loss[i] - first / sum;
      second += sketch.mass[i] * std::exp(s * sketch.loss[i] - lowered) * off * off;
    }
    total += count * second / sum;
  }
  return total;
}

// log max_x e^{−θx}(1 − e^{−x})
double log_weight(double theta) {
  return theta * std::log(theta) - (1 + theta) * std::log1p(theta);
}

// The least of a function with one valley, over log x between the logs of the ends.
template <class Function>
double valley(double low, double high, const Function& f) {
  constexpr double kGolden = 0.6180339887498949;
  double a = std::log(low), d = std::log(high);
  double b = d - kGolden * (d - a), c = a + kGolden * (d - a), fb = f(std::exp(b)), fc = f(std::exp(c));
  while (d - a > 1e-3) {
    if (fb <= fc) {  // infinite values lie on the high side
      d = c, c = b, fc = fb;
      b = d - kGolden * (d - a), fb = f(std::exp(b));
    } else {
      a = b, b = c, fb = fc;
      c = a + kGolden * (d - a), fc = f(std::exp(c));
    }
  }
  return std::exp((a + d) / 2);
}

Steering around(const std::vector<SketchedUses>& uses, double theta, double tail) {
  const double k = cumulant(uses, theta);
  Steering steering{};
  steering.deviation = std::sqrt(variance(uses, theta));
  const double guess = std::sqrt(2 * tail) / steering.deviation;
  steering.found = std::isfinite(k) && std::isfinite(guess) && guess > 0;
  if (!steering.found) return steering;
  const double up =
      valley(guess / 100, guess * 10, [&](double s) { return (cumulant(uses, theta + s) - k + tail) / s; });
  const double down =
      valley(guess / 100, guess * 10, [&](double s) { return (cumulant(uses, theta - s) - k + tail) / s; });
  steering.tilt = {theta, theta - down, theta + up, tail};
  const double high = cumulant(uses, theta + up), low = cumulant(uses, theta - down);
  steering.width = (high - k + tail) / up + (low - k + tail) / down;
  steering.found = std::isfinite(high) && std::isfinite(low);
  return steering;
}

// Where rare large losses take over at the saddle point, the tilted sum is two heaps far apart and the window wide. A
// smaller θ keeps them out, at the price of noise that is e^slack larger: with 1e-14 to start from there is room.
Steering narrowest(const std::vector<SketchedUses>& uses, double theta, double epsilon, double tail) {
  constexpr double kMostSlack = 8;
  Steering best = around(uses, theta, tail);
  // Few uses with a largest loss: the best exponent is so large that nothing but that loss is left.
  for (double at = theta / 2; !best.found && at > kLeastTheta; at /= 2) best = around(uses, at, tail);
  if (best.found && variance(uses, theta) < 3 * variance(uses, theta / 2)) return best;
  const auto bound = [&](double at) { return cumulant(uses, at) + log_weight(at) - at * epsilon; };
  const double least = bound(theta);
  for (double at = theta * 0.9; at > 0.05 * theta && bound(at) < least + kMostSlack; at *= 0.9) {
    const Steering found = around(uses, at, tail);
    if (!found.found) continue;
    if (!best.found || found.width < best.width) best = found;
  }
  return best;
}

}  // namespace

Steering steer_to_delta(const std::vector<SketchedUses>& uses, double delta, double tail) {
  const double log_delta = std::log(delta);
  const auto bound = [&](double theta) { return (cumulant(uses, theta) + log_weight(theta) - log_delta) / theta; };
  const double theta = valley(kLeastTheta, kMostTheta, bound);
  Steering steering = narrowest(uses, theta, bound(theta), tail);
  steering.epsilon = bound(theta);
  steering.log_delta = log_delta;
  return steering;
}

Steering steer_to_epsilon(const std::vector<SketchedUses>& uses, double epsilon, double tail) {
  const auto bound = [&](double theta) { return cumulant(uses, theta) + log_weight(theta) - theta * epsilon; };
  const double theta = valley(kLeastTheta, kMostTheta, bound);
  Steering steering = narrowest(uses, theta, epsilon, tail);
  steering.epsilon = epsilon;
  steering.log_delta = std::min(0.0, bound(theta));
  return steering;
}

// At θ the bound is delta after (log δ − log w(θ) + θε) / K(θ) of them; the best θ allows the most.
double multiple_that_fits(const std::vector<SketchedUses>& uses, double epsilon, double delta) {
  const auto fit = [&](double theta) {
    return (std::log(delta) - log_weight(theta) + theta * epsilon) / cumulant(uses, theta);
  };
  return fit(valley(kLeastTheta, kMostTheta, [&](double theta) { return -fit(theta); }));
}

}  // namespace sotto::accountants
