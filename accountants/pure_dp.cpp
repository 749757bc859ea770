#include "accountants/pure_dp.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "accountants/directed.h"

namespace sotto::accountants {
namespace {

double plus_up(double a, double b) {
  return a == 0 || b == 0 ? a + b : next_up(a + b);
}

// The largest log ratio of two entries of a column; rows sum to 1 up to 1e-12.
double most_loss(const LocalChannel& channel) {
  double most = 1;
  for (size_t output = 0; output < channel.table.front().size(); ++output) {
    double least = 1, largest = 0;
    for (const auto& row : channel.table) {
      least = std::min(least, row[output]);
      largest = std::max(largest, row[output]);
    }
    if (largest > 0) most = std::max(most, least > 0 ? largest / least : std::numeric_limits<double>::infinity());
  }
  return most == 1 ? 0 : std::log(most) * (1 + 1e-15) + 3e-12;
}

// ε by mechanism; an infinite one (no noise) is a bound, too. NaN: none known.
struct Epsilon {
  double moved;  // by what a unit of contribution 1 can move a sum
  bool replaced;
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

  template <class Mechanism>
  double operator()(const Mechanism&) const {
    return kNone;
  }
  double operator()(const Laplace& e) const { return divide_up(moved, e.noise_multiplier); }
  double operator()(const DiscreteLaplace& e) const {
    return divide_up(times_up(moved, static_cast<double>(e.sensitivity)), e.scale);
  }
  double operator()(const Staircase& e) const { return moved * e.epsilon; }
  double operator()(const RandomizedResponse& e) const { return replaced ? e.epsilon : kNone; }
  double operator()(const LocalChannel& e) const { return replaced ? most_loss(e) : kNone; }
  double operator()(const ExponentialMechanism& e) const { return e.epsilon; }
  double operator()(const ReportNoisyMax& e) const { return divide_up(e.monotone ? 1 : 2, e.noise_multiplier); }
  double operator()(const SparseVector& e) const {
    const double queries = times_up(e.monotone ? 1 : 2, static_cast<double>(e.most_above));
    return plus_up(divide_up(1, e.threshold_noise_multiplier), divide_up(queries, e.query_noise_multiplier));
  }
  double operator()(const EpsilonDelta& e) const { return e.delta == 0 ? e.epsilon : kNone; }
};

}  // namespace

std::optional<PureDp> pure_dp(const Event& event, NeighbouringRelation relation) {
  const bool replaced = relation == NeighbouringRelation::replace_one;
  const double epsilon = std::visit(Epsilon{replaced ? 2.0 : 1.0, replaced}, event.mechanism);
  if (std::isnan(epsilon)) return std::nullopt;
  const bool bounded_range = std::holds_alternative<ExponentialMechanism>(event.mechanism);
  return PureDp{epsilon, bounded_range ? epsilon : 2 * epsilon};
}

}  // namespace sotto::accountants
