#include "accountants/pld/random_allocation_law.h"

#include <algorithm>
#include <cmath>

#include "accountants/pld/numerics.h"
#include "accountants/pld/ratio_sum.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr size_t kWindow = size_t{1} << 16;
constexpr double kOneUseLevels = 1 << 12;
constexpr double kLeastTail = 1e-25;  // rounding is more

// The ratio of one use, from atoms of P at their losses: what Q has beyond them is at a ratio of 0.
RatioLaw ratios(const LossAtoms& atoms) {
  RatioLaw law{{0}, {0}};
  double sum = 0;
  for (size_t i = 0; i < atoms.mass.size(); ++i) {
    if (!(atoms.mass[i] > 0)) continue;
    const double ratio = std::exp(atoms.loss(i));
    law.value.push_back(ratio);
    law.mass.push_back(atoms.mass[i] / ratio);
    sum += law.mass.back();
  }
  law.mass[0] = std::max(std::numeric_limits<double>::min(), 1 - sum);  // no logarithm of 0
  return law;
}

// The exponent θ of the given sign at which Chernoff's bound of what lies beyond the tilted mean, of P for θ > 0, of Q
// for θ < 0, is about `target`.
double exponent_for(const RatioLaw& law, double steps, double sign, double target) {
  double low = 1e-14, high = 1e6;
  for (int i = 0; i < 60; ++i) {
    const double theta = std::sqrt(low * high), slope = law.slope(sign * theta);
    const double bound = steps * (law.cumulant(sign * theta) - sign * theta * slope) + (sign > 0 ? std::log(slope) : 0);
    (bound > std::log(target) ? low : high) = theta;
  }
  return sign * high;
}

// Q mass of sums beyond the place (above it for θ > 0), at most.
double beyond(const RatioLaw& law, double steps, double theta, double place) {
  return std::exp(std::min(0.0, steps * law.cumulant(theta) - theta * place + 1e-9));
}

LossCells::Tail tail_at(double p, double q, double place, double steps) {
  return {p, q, std::log(std::max(place, std::numeric_limits<double>::min()) / steps)};
}

}  // namespace

RandomAllocationLaw::RandomAllocationLaw(std::shared_ptr<const CellLaw> one, int64_t steps)
    : one_(std::move(one)), steps_(static_cast<double>(steps)) {
  require(steps >= 2 && steps <= 100'000'000, "random allocation needs 2 to 10^8 steps, got ", steps);
}

bool RandomAllocationLaw::fits(const CellLaw& one, int64_t steps) {
  constexpr double kTypicalTail = 1e-12, kMostLoss = 60, kLeastPlaces = 64;
  const auto [lowest, highest] = one.range(kTypicalTail);
  if (highest > kMostLoss || !(highest > lowest)) return false;
  const double step = std::max((highest - lowest) / 400, 1e-12), uses = static_cast<double>(steps);
  const RatioLaw rough = ratios(atoms_above(one.cells(step, kTypicalTail), one.anchor(), step));
  const double top = uses * rough.slope(exponent_for(rough, uses, 1, kTypicalTail));
  return top < uses * static_cast<double>(kWindow) / kLeastPlaces;
}

std::shared_ptr<const RandomAllocationLaw::Sides> RandomAllocationLaw::sides(double tail) const {
  tail = std::max(tail, kLeastTail);
  const std::lock_guard lock(mutex_);
  if (sides_ && tail_ == tail) return sides_;
  const double step = std::max(one_->span(tail) / kOneUseLevels, 1e-12);
  const LossCells one = one_->cells(step, tail);
  const LossAtoms one_above = atoms_above(one, one_->anchor(), step),
                  one_below = atoms_below(one, one_->anchor(), step);
  const RatioLaw rough = ratios(one_above), rough_below = ratios(one_below);

  const double high = exponent_for(rough, steps_, 1, tail), low = exponent_for(rough, steps_, -1, tail);
  const double top = steps_ * rough.slope(high), bottom = steps_ * rough.slope(low);
  const double h = (top - bottom) / static_cast<double>(kWindow - 8);
  const RatioLaw above = spread_onto_lattice(rough, h), contracted = contract_onto_lattice(rough_below, h);
  const RatioLaw& below = contracted.value.empty() ? above : contracted;
  const auto first = static_cast<int64_t>(std::floor(bottom / h)) - 2;
  const double last_place = static_cast<double>(first + static_cast<int64_t>(kWindow) - 1) * h;
  const double first_place = static_cast<double>(first) * h;

  const auto count = static_cast<int64_t>(steps_);
  // Of P where P has more than Q, of Q where it has less: errors are absolute.
  const RatioSums right = sums_of_ratios(above, below, h, count, true, first, kWindow);
  const RatioSums left = sums_of_ratios(above, below, h, count, false, first, kWindow);
  // Outside the window, hence folded into it: counted above as lost, and taken off below.
  const double q_over = beyond(above, steps_, high, last_place), q_under = beyond(above, steps_, low, first_place);
  const double p_over = q_over * above.slope(high);
  const double folded = beyond(below, steps_, high, last_place) + beyond(below, steps_, low, first_place);

  auto found = std::make_shared<Sides>();
  for (size_t i = 0; i < kWindow; ++i) {
    const double place = static_cast<double>(first + static_cast<int64_t>(i)) * h, ratio = place / steps_;
    const RatioSums& from = ratio < 1 ? left : right;
    const double more = from.above[i] + from.error_above;
    const double less = from.below[i] - from.error_below - folded * std::max(1.0, ratio);
    if (place <= 0) {
      found->above.q_at_infinity += more;
      continue;
    }
    const auto put = [&](LossCells& cells, double mass) {
      const double p = ratio < 1 ? mass * ratio : mass, q = ratio < 1 ? mass : mass / ratio;
      if (!(std::min(p, q) > 1e-300)) return;
      cells.p.push_back(p);
      cells.q.push_back(q);
      cells.loss.push_back(std::log(ratio));
    };
    put(found->above, more);
    put(found->below, less);
  }
  if (contracted.value.empty() || found->below.p.empty()) found->below = {.p = {1}, .q = {1}, .loss = {0}};  // nothing
  found->above.p_at_infinity = one_above.at_infinity;
  found->above.above = tail_at(p_over, q_over, last_place, steps_);
  found->above.below = tail_at(q_under * std::max(0.0, first_place) / steps_, q_under, first_place, steps_);
  if (found->below.p.size() > 1) found->below.p_at_infinity = one.p_at_infinity;
  for (LossCells* cells : {&found->above, &found->below}) {
    cells->mass_error = steps_ * (one.mass_error + 1e-11);
    cells->loss_error = 2 * one.loss_error + 64 * kUnit * (1 + std::log(steps_) + one_->span(tail));
  }
  tail_ = tail;
  return sides_ = found;
}

LossCells RandomAllocationLaw::cells(double, double tail) const {
  return sides(tail)->above;
}

std::optional<LossCells> RandomAllocationLaw::cells_below(double, double tail) const {
  return sides(tail)->below;
}

std::pair<double, double> RandomAllocationLaw::range(double tail) const {
  const auto found = sides(tail);
  return {found->above.loss.front(), found->above.loss.back()};
}

}  // namespace sotto::accountants
