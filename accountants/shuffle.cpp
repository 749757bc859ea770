#include "accountants/shuffle.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "accountants/binomial.h"
#include "accountants/pure_dp.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kMostEpsilon = 50;
constexpr double kBlocksADeviation = 8, kShareOfClones = 5e-4;

// Σ over a of max(0, P(a) − e^ε Q(a)) given C = c. With B(a) = P(Bin(c, 1/2) = a), w = P(Δ = 1) and r = a / (c + 1 − a)
// = B(a−1) / B(a): P(a) − e^ε Q(a) = B(a) (u r − v), u = w − e^ε (1−w), v = e^ε w − (1−w): positive from some a on.
double delta_given(double c, double u, double v) {
  if (u <= 0) return 0;
  const double ratio = v / u, first = std::floor((c + 1) * ratio / (1 + ratio));
  double sum = 0;
  if (first < c + 1) {
    double a = std::max(0.0, first);
    double mass = std::exp(std::lgamma(c + 1) - std::lgamma(a + 1) - std::lgamma(c - a + 1) - c * std::log(2.0));
    for (; a <= c; mass *= (c - a) / (a + 1), ++a) {
      const double term = mass * (u * a / (c + 1 - a) - v);
      if (term > 0) sum += term;
      if (a > first + 2 && term < 1e-13 * sum && a > c / 2) break;
    }
  }
  sum += u * std::exp(-c * std::log(2.0));  // a = c + 1, where B is 0 and B(c) is not
  // What lgamma lost, and the terms left out: fewer than 1e5 that shrink.
  return sum * (1 + 1e-10 + 1e-15 * std::lgamma(c + 2));
}

using Clones = BinomialMasses;  // P(C = c)

double delta_at(const Clones& clones, double epsilon_0, double epsilon) {
  if (epsilon >= epsilon_0) return 0;
  const double w = 1 / (1 + std::exp(-epsilon_0)), grown = std::exp(epsilon);
  const double rest = std::exp(-epsilon_0) * w;  // 1 − w
  const double u = -w * std::expm1(epsilon - epsilon_0);
  const double v = grown * w - rest;
  // More clones hide more, so a block of numbers of clones costs at most what its least does. log δ changes by some 20
  // / c from one number c to the next.
  const auto size = static_cast<double>(clones.mass.size());  // 27 deviations, outside which there is 1e-40
  const double likely = clones.first + size / 2;
  const auto block =
      static_cast<size_t>(std::max(1.0, std::min(size / 27 / kBlocksADeviation, likely * kShareOfClones)));
  // Blocks too rare to matter are not summed: their mass times 1, or times the last block's divergence, which is more.
  const double rare = 1e-12 * delta_given(std::floor(likely), u, v);
  double sum = 1e-37, last = 1;  // outside the window
  for (size_t i = 0; i < clones.mass.size(); i += block) {
    double mass = 0;
    for (size_t j = i; j < std::min(i + block, clones.mass.size()); ++j) mass += clones.mass[j];
    if (mass * last > rare) last = std::min(last, delta_given(clones.first + static_cast<double>(i), u, v));
    sum += mass * last;
  }
  return std::min(1.0, sum * (1 + 1e-8));
}

void check(double epsilon_0, int64_t reports) {
  require(epsilon_0 > 0 && epsilon_0 <= kMostEpsilon, "the local epsilon must be above 0 and at most ", kMostEpsilon,
          ", got ", epsilon_0);
  require(reports >= 2 && reports <= 100'000'000, "the number of reports must be between 2 and 10^8, got ", reports);
}

Clones clones_of(double epsilon_0, int64_t reports) {
  return Clones(static_cast<double>(reports - 1), std::exp(-epsilon_0));
}

}  // namespace

double shuffled_delta(double epsilon_0, int64_t reports, double epsilon) {
  check(epsilon_0, reports);
  require(epsilon >= 0, "epsilon must be at least 0, got ", epsilon);
  return delta_at(clones_of(epsilon_0, reports), epsilon_0, epsilon);
}

double shuffled_epsilon(double epsilon_0, int64_t reports, double delta) {
  check(epsilon_0, reports);
  require(delta > 0 && delta < 1, "delta must be above 0 and below 1, got ", delta);
  const Clones clones = clones_of(epsilon_0, reports);
  // False position on log δ, halving whichever end stays (Illinois): log δ is smooth, and at ε_0 taken as far below.
  double fails = 0, fits = epsilon_0;
  const double target = std::log(delta);
  const auto height = [&](double epsilon) { return std::log(delta_at(clones, epsilon_0, epsilon)) - target; };
  double above = height(0), below = std::log(1e-37) - target;
  if (above <= 0) return 0;
  for (int i = 0; i < 100 && fits > fails * (1 + 1e-6) + 1e-12; ++i) {
    const double share = below < 0 ? above / (above - below) : 0.5;
    const double middle = i % 4 == 3 ? (fails + fits) / 2 : fails + (fits - fails) * std::clamp(share, 0.01, 0.99);
    const double found = height(middle);
    if (found <= 0) {
      fits = middle, below = found, above /= 2;
    } else {
      fails = middle, above = found, below /= 2;
    }
  }
  return fits;
}

EpsilonDelta amplified_by_shuffling(const Event& event, double delta) {
  validate(event);
  const auto refuse = [&](const char* why) {
    throw Error(ErrorKind::configuration, cat("no amplification by shuffling for ", to_json(event), ": ", why));
  };
  const auto* shuffled = std::get_if<Shuffled>(&event.mechanism);
  if (shuffled == nullptr) refuse("it is not a shuffled event");
  if (shuffled->reports < 2) refuse("it takes two reports for one to hide behind the other");
  const auto local = pure_dp(*shuffled->event, NeighbouringRelation::replace_one);
  if (!local || !std::isfinite(local->epsilon))
    refuse("the randomiser has no finite epsilon of its own when its unit is replaced, with delta = 0");
  if (local->epsilon > kMostEpsilon) refuse("a local epsilon above 50 is not amplified");
  if (local->epsilon == 0) return {0, 0};
  return {shuffled_epsilon(local->epsilon, shuffled->reports, delta), delta};
}

}  // namespace sotto::accountants
