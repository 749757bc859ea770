#include "accountants/pld/grid_law.h"

#include <algorithm>
#include <cmath>

#include "accountants/pld/numerics.h"
#include "base/error.h"

namespace sotto::accountants {
GridBuilder::GridBuilder(double offset, double step, size_t levels, double error, double unit)
    : offset_(offset),
      step_(step),
      error_(error),
      unit_(unit),
      up_(-1 / std::expm1(-step)),
      down_(1 / std::expm1(step)),
      exp_(levels),
      above_(levels),
      q_(levels),
      d_(levels),
      a_(levels),
      loss_error_(levels) {
  require(levels >= 2 && step > 0, "a grid needs two levels and a step above 0: ", levels, " levels, step ", step);
  for (size_t i = 0; i < levels; ++i) exp_[i] = std::exp(level(i));
}

void GridBuilder::add_above(size_t low, size_t high, double q, double excess, double lack) {
  double up = up_, down = down_;
  if (high != low + 1) {
    const double span = static_cast<double>(high - low) * step_;
    up = -1 / std::expm1(-span);
    down = 1 / std::expm1(span);
  }
  const double to_high = excess * up, to_low = lack * down, both = to_high + to_low;
  if (both > 0) {
    // Rescaled to the piece's P mass: an error of the split is then an error of the loss, not of the mass.
    const double scale = (exp_[low] * q + excess) / both;
    above_[high] += to_high * scale;
    above_[low] += to_low * scale;
  }
}

void GridBuilder::add_below(size_t node, double q, double distance) {
  q_[node] += q;
  d_[node] += distance;
  a_[node] += std::abs(distance);
}

// The nodes first … last between `from` and `to` that can be settled by themselves. The first may take in from above
// only, so its loss must not exceed its level: where it does, the first also gets such a share of the node below that
// it does not; likewise the last.
GridBuilder::Span GridBuilder::span_below(size_t from, size_t to, std::vector<double>& q, std::vector<double>& d,
                                          std::vector<double>& a) const {
  const auto unsure = [&](size_t k, double sum) { return (8 * error_ + 8 * loss_error_[k] / step_) * sum; };
  size_t first = from, last = to;
  double under_share = 0, over_share = 0;
  for (; first <= to; ++first) {
    if (q_[first] == 0) continue;
    if (d_[first] <= -unsure(first, a_[first])) break;
    if (first == 0 || q_[first - 1] == 0) continue;
    const double lift = (exp_[first] - exp_[first - 1]) * q_[first - 1];
    const double needed = d_[first] + unsure(first, a_[first] + lift), offered = lift - d_[first - 1];
    if (needed > 0.9 * offered) continue;
    const double share = needed / offered;
    under_share = share;
    q[first] += share * q_[first - 1];
    d[first] = d_[first] - needed;
    a[first] += share * (lift + a_[first - 1]);
    break;
  }
  for (; last > first; --last) {
    if (q_[last] == 0) continue;
    if (d_[last] >= unsure(last, a_[last])) break;
    if (last + 1 == q_.size() || q_[last + 1] == 0) continue;
    const double lift = (exp_[last + 1] - exp_[last]) * q_[last + 1];
    const double needed = -d_[last] + unsure(last, a_[last] + lift), offered = lift + d_[last + 1];
    if (needed > 0.9 * offered) continue;
    const double share = needed / offered;
    over_share = share;
    q[last] += share * q_[last + 1];
    d[last] = d_[last] + needed;
    a[last] += share * (lift + a_[last + 1]);
    break;
  }
  Span span{first, last, first >= last};
  for (size_t k = 0; k < first && k < q_.size(); ++k) span.under += q_[k] * (k + 1 == first ? 1 - under_share : 1);
  for (size_t k = last + 1; k < q_.size(); ++k) span.over += q_[k] * (k == last + 1 ? 1 - over_share : 1);
  return span;
}

void GridBuilder::settle() {
  const size_t levels = q_.size();
  const size_t peak = static_cast<size_t>(std::max_element(q_.begin(), q_.end()) - q_.begin());
  size_t from = 0, to = levels - 1;
  for (int round = 0; round < 60; ++round) {
    std::vector<double> q = q_, d = d_, a = a_;
    const Span span = span_below(from, to, q, d, a);
    if (span.empty) break;
    std::vector<double> mass(levels), error(levels);
    const double more = std::expm1(step_), less = -std::expm1(-step_);
    for (size_t k = span.first; k <= span.last; ++k) {
      const bool high = d[k] > 0;
      const double moved = high ? d[k] / (exp_[k] * less) : -d[k] / (exp_[k] * more);
      const double unsure = 4 * error_ * a[k] / (exp_[k] * less) + moved * 4 * loss_error_[k] / step_;
      mass[k] += q[k] + moved;
      error[k] += unsure + 4 * error_ * (q[k] + moved);
      const size_t donor = high ? k - 1 : k + 1;
      mass[donor] -= moved;
      error[donor] += unsure + 4 * error_ * moved;
      if (k > span.first) error[k - 1] += unsure;
      if (k < span.last) error[k + 1] += unsure;
    }
    // What would have to give more than it has: too coarse a grid for so steep a density. Merge from there outwards.
    size_t new_from = from, new_to = to;
    for (size_t k = span.first; k <= span.last; ++k) {
      if (mass[k] - error[k] > 0 || (mass[k] == 0 && error[k] == 0)) continue;
      if (k < peak)
        new_from = std::max(new_from, k + 1);
      else
        new_to = std::min(new_to, k == 0 ? 0 : k - 1);
    }
    if (new_from == from && new_to == to) {
      below_first_ = span.first;
      const double sure = 1 - 8 * error_ - 4 * kUnit * static_cast<double>(levels);
      q_under_ = span.under * sure, q_over_ = span.over * sure;
      below_q_.assign(levels > 0 ? span.last - span.first + 1 : 0, 0);
      for (size_t k = span.first; k <= span.last; ++k) below_q_[k - span.first] = std::max(0.0, mass[k] - error[k]);
      return;
    }
    from = new_from, to = new_to;
    if (from > to) break;
  }
  below_q_.clear();  // no lower bound at this step
}

double GridBuilder::largest_loss_error() const {
  return 4 * *std::max_element(loss_error_.begin(), loss_error_.end());
}

BracketedLaw GridBuilder::remove() const {
  BracketedLaw law;
  law.above = {offset_, step_, 0, above_, p_at_infinity_ * unit_};
  law.below = {offset_, step_, static_cast<int64_t>(below_first_), below_q_, 0};
  for (double& mass : law.above.mass) mass *= unit_;
  if (!below_q_.empty()) law.below.mass.back() += q_over_;
  for (size_t i = 0; i < below_q_.size(); ++i) law.below.mass[i] *= exp_[below_first_ + i] * unit_;
  law.loss_error = largest_loss_error();
  law.mass_error = 2 * error_ + 8 * law.loss_error + 32 * kUnit;
  return law;
}

BracketedLaw GridBuilder::add() const {
  BracketedLaw law;
  const auto levels = static_cast<int64_t>(above_.size());
  law.above = {-offset_, step_, 1 - levels, std::vector<double>(above_.rbegin(), above_.rend()),
               q_at_infinity_ * unit_};
  for (size_t i = 0; i < above_.size(); ++i) law.above.mass[i] *= unit_ / exp_[above_.size() - 1 - i];
  law.above.mass.back() += q_at_lowest_ * unit_;
  law.above.mass.front() += q_at_highest_ * unit_;
  const auto last = static_cast<int64_t>(below_first_ + below_q_.size()) - 1;
  law.below = {-offset_, step_, -last, std::vector<double>(below_q_.rbegin(), below_q_.rend()), 0};
  if (!below_q_.empty()) law.below.mass.back() += q_under_;
  for (double& mass : law.below.mass) mass *= unit_;
  law.loss_error = largest_loss_error();
  law.mass_error = 2 * error_ + 8 * law.loss_error + 32 * kUnit;
  return law;
}

}  // namespace sotto::accountants
