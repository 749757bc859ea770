#include "accountants/pld/shifted_noise_law.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "accountants/pld/normal_mass.h"
#include "accountants/pld/numerics.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kLargestLoss = 290;   // beyond it outputs are not cut up
constexpr double kLeastMass = 1e-300;  // less may have lost digits
constexpr double kNear = 1e-9;         // of a step: how far a cut may be from its level
constexpr double kEdge = 1e-12;        // of a piece: how near to a jump of the loss it is looked at

// 1 / Σ e^(−k²/2σ²). Poisson's summation formula for wide noise: the terms left out are below 2^−100.
double gaussian_at_zero(double sigma) {
  if (sigma > 4) return 1 / (sigma * std::sqrt(2 * std::numbers::pi));
  double sum = 0;
  for (int k = 60; k >= 1; --k) sum += 2 * std::exp(-k * k / (2 * sigma * sigma));
  return 1 / (1 + sum);
}

}  // namespace

ShiftedNoiseLaw::ShiftedNoiseLaw(NoiseShape shape, double scale, std::vector<Shift> shifts, double bound,
                                 std::optional<double> anchor, double p_left_out)
    : shape_(shape), scale_(scale), bound_(bound), p_left_out_(p_left_out), shifts_(std::move(shifts)) {
  require(scale > 0 && shifts_.size() >= 2 && shifts_.size() <= kMostShifts,
          "shifted noise needs a scale above 0 and 2 to ", kMostShifts, " centres, got ", scale, " and ",
          shifts_.size());
  if (shape == NoiseShape::discrete_gaussian) at_zero_ = gaussian_at_zero(scale);
  if (shape == NoiseShape::discrete_laplace) at_zero_ = std::tanh(0.5 / scale);
  if (shape == NoiseShape::skellam) skellam_.emplace(scale);
  // The largest loss of Laplace noise is one of many outputs, hence a level.
  anchor_ = anchor.value_or(unbounded() ? log_ratio(std::round(shifts_.front().centre)) : range(0).second);
}

double ShiftedNoiseLaw::log_weight(double x, double centre) const {
  if (skellam_) return skellam_->log_mass(x - centre);
  const double away = (x - centre) / scale_;
  if (truncated() && std::abs(x - centre) > bound_ * (1 + 1e-12)) return -kInfinity;
  return normal() ? -0.5 * away * away : -std::abs(away);
}

double ShiftedNoiseLaw::mass(double from, double to, double centre) const {
  if (skellam_) return skellam_->mass(from - centre);
  if (discrete() && from + 1 == to) return at_zero_ * weight(from, centre);
  if (shape_ == NoiseShape::gaussian) return normal_mass((from - centre) / scale_, (to - from) / scale_);
  if (truncated()) {
    from = std::max(from, centre - bound_), to = std::min(to, centre + bound_);
    if (!(from < to)) return 0;
    const double near = std::max({centre - to, from - centre, 0.0}) / scale_;
    return -std::expm1(-(to - from) / scale_) * std::exp(-near) * 0.5 / -std::expm1(-bound_ / scale_);
  }
  const double before = centre - (discrete() ? to - 1 : to), after = from - centre;  // of the nearest output
  const double near = std::max({before, after, 0.0}) / scale_;
  const double share = std::isinf(to - from) ? 1 : -std::expm1(-(to - from) / scale_);
  return share * std::exp(-near) * (discrete() ? 1 / (1 + std::exp(-1 / scale_)) : 0.5);
}

double ShiftedNoiseLaw::outside(double x, double centre, bool above) const {
  const double away = above ? x - centre : centre - x;
  if (shape_ == NoiseShape::gaussian) return normal_tail(away / scale_) * (1 + 1e-12);
  if (skellam_) return skellam_->tail(away);
  // Σ_{k ≥ m} e^(−k²/2σ²) is less than a geometric series from its first term on.
  if (away < 1) return 1;
  return std::min(1.0, at_zero_ * std::exp(-0.5 * away * away / scale_ / scale_) /
                           -std::expm1(-away / scale_ / scale_) * (1 + 1e-12));
}

// `error` is relative, of each entry; probabilities are rounded as well, 1 − q for one. The loss through what P and Q
// differ by, which keeps small losses as precise as they are small.
ShiftedNoiseLaw::Masses ShiftedNoiseLaw::masses(const double* of_shift, double error) const {
  double p = 0, q = 0, more = 0, moved = 0;
  for (size_t i = 0; i < shifts_.size(); ++i) {
    p += shifts_[i].p * of_shift[i];
    q += shifts_[i].q * of_shift[i];
    more += (shifts_[i].p - shifts_[i].q) * of_shift[i];
    moved += std::abs(shifts_[i].p - shifts_[i].q) * of_shift[i];
  }
  const double loss = 2 * p < q ? std::log(p / q) : std::log1p(more / q);
  const double unsure = (error + 8 * kUnit) * std::min(2.0, moved / std::min(p, q)) + 4 * kUnit * (1 + std::abs(loss));
  return {p, q, loss, unsure};
}

double ShiftedNoiseLaw::log_ratio(double x) const {
  double weights[kMostShifts], largest = -kInfinity;  // relative to the largest, so that not all underflow
  for (size_t i = 0; i < shifts_.size(); ++i) {
    weights[i] = log_weight(x, shifts_[i].centre);
    largest = std::max(largest, weights[i]);
  }
  for (size_t i = 0; i < shifts_.size(); ++i) weights[i] = std::exp(weights[i] - largest);
  return masses(weights, 0).loss;
}

double ShiftedNoiseLaw::slope(double x) const {
  const double h = 1e-6 * scale_;
  return (log_ratio(x + h) - log_ratio(x - h)) / (2 * h);
}

std::pair<double, double> ShiftedNoiseLaw::ends(double tail) const {
  const double lowest = shifts_.front().centre, highest = shifts_.back().centre;
  if (truncated()) {  // outputs that both have
    const auto low = std::find_if(shifts_.begin(), shifts_.end(), [](const Shift& each) { return each.p > 0; });
    const auto high = std::find_if(shifts_.rbegin(), shifts_.rend(), [](const Shift& each) { return each.q > 0; });
    return {low->centre - bound_, high->centre + bound_};
  }
  if (!unbounded()) return {lowest, highest};
  const auto beyond = [&](double x, bool above) {
    double sum = 0;
    for (const Shift& shift : shifts_) sum += (above ? shift.p : shift.q) * outside(x, shift.centre, above);
    return sum;
  };
  const auto find = [&](bool above) {
    double inside = above ? lowest : highest, out = above ? highest + 40 * scale_ : lowest - 40 * scale_;
    if (discrete()) out += above ? 1 : -1;
    if (skellam_) out = above ? lowest + skellam_->reach() : highest - skellam_->reach();
    for (int i = 0; i < 60; ++i) {
      const double middle = (inside + out) / 2;
      const double loss = log_ratio(middle);
      (beyond(middle, above) <= tail || (above ? loss : -loss) > kLargestLoss ? out : inside) = middle;
    }
    return discrete() ? (above ? std::ceil(out) : std::floor(out)) : out;
  };
  return {find(false), find(true)};
}

std::pair<double, double> ShiftedNoiseLaw::range(double tail) const {
  const auto [first, last] = ends(tail);
  return {log_ratio(first), log_ratio(last)};
}

// Where outputs pass from one level to the next, and where densities have kinks or end. Between such places the loss is
// smooth; where truncated noise ends it jumps, over levels that no output has.
std::vector<double> ShiftedNoiseLaw::cuts(double first, double last, double step) const {
  std::vector<double> ends{first, last};
  for (const Shift& shift : shifts_)
    for (const double reach : {0.0, truncated() ? bound_ : 0.0, truncated() ? -bound_ : 0.0})
      if (shift.centre + reach > first && shift.centre + reach < last) ends.push_back(shift.centre + reach);
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  std::vector<double> found{first};
  for (size_t piece = 0; piece + 1 < ends.size(); ++piece) {
    const double from = ends[piece], to = ends[piece + 1], inside = truncated() ? (to - from) * kEdge : 0;
    if (inside > 0 && !(from + inside > from && to - inside < to)) continue;  // a piece of a few doubles
    const double lowest = log_ratio(from + inside), highest = log_ratio(to - inside);
    double x = from;
    const auto above = static_cast<int64_t>(std::floor((highest - anchor_) / step));
    for (auto i = static_cast<int64_t>(std::ceil((lowest - anchor_) / step)); i <= above; ++i) {
      const double level = anchor_ + static_cast<double>(i) * step;
      double low = x, high = to;
      for (int round = 0; round < 100 && high - low > 0; ++round) {
        const double off = log_ratio(x) - level;
        if (std::abs(off) <= kNear * step) break;
        (off < 0 ? low : high) = x;
        double next = x - off / slope(x);
        if (!(next > low && next < high) || round > 12) next = low + (high - low) / 2;
        if (next == x || next <= low || next >= high) break;
        x = next;
      }
      if (x > found.back() && x < to) found.push_back(x);
    }
    if (to > found.back()) found.push_back(to);
  }
  return found;
}

LossCells ShiftedNoiseLaw::cells(double step, double tail) const {
  const auto [first, last] = ends(tail);
  LossCells cells;
  std::vector<double> edges;
  if (discrete()) {
    for (double x = first; x <= last + 1; ++x) edges.push_back(x);
  } else {
    edges = cuts(first, last, step);
  }
  if (truncated()) {
    cells.p_at_infinity = only(true);
    cells.q_at_infinity = only(false);
  } else if (!unbounded()) {  // beyond the outer centres the loss is constant
    if (discrete())
      edges.front() = -kInfinity, edges.back() = kInfinity;
    else
      edges.insert(edges.begin(), -kInfinity), edges.push_back(kInfinity);
  }
  double farthest =
      (std::max(std::abs(first), std::abs(last)) + shifts_.back().centre - shifts_.front().centre) / scale_;
  // erfc and exp of z² are off by u z²; a difference of two tails a panel apart by 40 times that of one.
  cells.mass_error = kUnit * (skellam_   ? 64 + 8 * skellam_->reach()
                              : normal() ? 64 + 64 * farthest * farthest
                                         : 64 + 8 * farthest);
  const double near = kNear * step + (truncated() ? 4 * kEdge * (range(0).second - range(0).first) : 0);
  cells.loss_error = near;
  std::vector<double> of_shift(shifts_.size());
  for (size_t k = 0; k + 1 < edges.size(); ++k) {
    for (size_t i = 0; i < shifts_.size(); ++i) of_shift[i] = mass(edges[k], edges[k + 1], shifts_[i].centre);
    const Masses found = masses(of_shift.data(), cells.mass_error);
    if (!(found.p > kLeastMass && found.q > kLeastMass)) {  // underflow, far out
      LossCells::Tail& tail = found.p > found.q ? cells.above : cells.below;
      tail.p += found.p + std::numeric_limits<double>::min();
      tail.q += found.q + std::numeric_limits<double>::min();
      continue;
    }
    cells.p.push_back(found.p);
    cells.q.push_back(found.q);
    cells.loss.push_back(found.loss);
    cells.loss_error = std::max(cells.loss_error, near + 2 * found.loss_error);
  }
  for (size_t k = 1; k < cells.loss.size(); ++k)  // equal losses may have come out in the wrong order
    cells.loss[k] = std::max(cells.loss[k], cells.loss[k - 1]);
  cells.above.p += p_left_out_;
  if (unbounded()) {
    const double over = discrete() ? last + 1 : last, under = discrete() ? first - 1 : first;
    for (const Shift& shift : shifts_) {
      cells.below.p += shift.p * outside(under, shift.centre, false);
      cells.below.q += shift.q * outside(under, shift.centre, false);
      cells.above.p += shift.p * outside(over, shift.centre, true);
      cells.above.q += shift.q * outside(over, shift.centre, true);
    }
    cells.below.edge = log_ratio(first);
    cells.above.edge = log_ratio(last);
  }
  return cells;
}

double ShiftedNoiseLaw::only(bool of_p) const {
  const auto [first, last] = ends(0);
  double sum = 0;
  for (const Shift& shift : shifts_) {
    const double from = of_p ? last : shift.centre - bound_, to = of_p ? shift.centre + bound_ : first;
    const double middle = std::clamp(shift.centre, from, std::max(from, to));
    sum += (of_p ? shift.p : shift.q) * (mass(from, middle, shift.centre) + mass(middle, to, shift.centre));
  }
  return sum;
}

double ShiftedNoiseLaw::at_infinity() const {
  return truncated() ? std::max(only(true), only(false)) : p_left_out_;
}

double ShiftedNoiseLaw::most_loss(Direction direction) const {
  const bool remove = direction == Direction::remove;
  if (remove && p_left_out_ > 0) return kInfinity;
  if (!unbounded()) {
    if (truncated() && only(remove) > 0) return kInfinity;
    const auto [lowest, highest] = range(0);
    return std::abs(remove ? highest : lowest) * (1 + 1e-12) + 8 * kUnit;
  }
  const Shift& end = remove ? shifts_.back() : shifts_.front();
  const double top = remove ? end.p : end.q, bottom = remove ? end.q : end.p;
  return bottom == 0 ? kInfinity : std::log(top / bottom) * (1 + 1e-12) + 8 * kUnit;
}

double ShiftedNoiseLaw::lattice() const {
  const double apart = shifts_.back().centre - shifts_.front().centre;
  const bool one_shift = shifts_.size() == 2 && shifts_.front().p == 0 && shifts_.back().q == 0;
  if (shape_ == NoiseShape::discrete_gaussian) return one_shift ? apart / scale_ / scale_ : 0;
  if (shape_ == NoiseShape::discrete_laplace && one_shift) return 2 / scale_;
  if (unbounded()) return 0;
  const auto [lowest, highest] = range(0);
  return highest - lowest;
}

}  // namespace sotto::accountants
