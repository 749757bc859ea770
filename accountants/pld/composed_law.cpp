#include "accountants/pld/composed_law.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "accountants/pld/numerics.h"
#include "accountants/pld/tilted.h"
#include "base/error.h"

namespace sotto::accountants {

ComposedLaw::Moments ComposedLaw::moments(const std::vector<LawPart>& parts, double s) {
  Moments found{0, 0, 0};
  for (const LawPart& part : parts) {
    found.above += log_moment(part, part.law.above, s);
    found.below += log_moment(part, part.law.below, s);
    found.error += log_moment_error(part, s);
  }
  return found;
}

// Chernoff's bounds of the tilted sum say how many levels hold all of it but e^−tail on either side.
size_t ComposedLaw::place_window(const Moments& at, const Moments& high, const Moments& low, const Tilt& tilt,
                                 size_t largest) {
  const double top = (high.above - at.above + tilt.tail) / (tilt.high - tilt.theta);
  const double bottom = -(low.above - at.above + tilt.tail) / (tilt.theta - tilt.low);
  const double wanted = std::max(4.0, (top - bottom) / step_ + 2);
  const size_t size = wanted < static_cast<double>(largest) ? std::bit_ceil(static_cast<size_t>(wanted)) : largest;
  const double centre =
      wanted < static_cast<double>(size) ? (top + bottom) / 2 : top - static_cast<double>(size) * step_ / 2;
  first_ = static_cast<int64_t>(std::floor((centre - base_) / step_)) - static_cast<int64_t>(size / 2);
  slack_ += 8 * kUnit * (bases_ + std::abs(level(first_)) + static_cast<double>(size) * step_);
  return size;
}

ComposedLaw::ComposedLaw(const std::vector<LawPart>& parts, const Tilt& tilt, size_t largest_size,
                         const LeftOut& left_out)
    : theta_(tilt.theta), masses_(0) {
  require(!parts.empty() && tilt.theta >= 0 && tilt.low < tilt.theta && tilt.theta < tilt.high,
          "a composition needs parts and exponents low < theta < high, theta at least 0");
  step_ = parts.front().law.above.step;
  for (const LawPart& part : parts) {
    const LossAtoms& law = part.law.above;
    require(part.left_out == 0, "both sides of a composition count all uses, one leaves out ", part.left_out);
    require(law.step == step_, "all parts need the same step: ", law.step, " and ", step_);
    base_ += uses(part) * law.offset;
    bases_ += std::abs(uses(part) * law.offset);
    slack_ += uses(part) * part.law.loss_error;
  }
  const Moments at = moments(parts, tilt.theta), high = moments(parts, tilt.high), low = moments(parts, tilt.low);
  if (!std::isfinite(at.above) || !std::isfinite(high.above) || !std::isfinite(low.above)) {
    above_.extra = below_.margin = kInfinity;  // out of range: no bound
    return;
  }
  const size_t size = place_window(at, high, low, tilt, largest_size);
  TiltedSum sum = tilted_sum(parts, theta_, step_, size);
  masses_ = std::move(sum.masses);
  recurrence_error_ = 16 * kUnit * static_cast<double>(size);

  above_.log_scale = at.above + at.error + 4 * kUnit * std::abs(at.above);
  above_.margin = sum.above.weighted;
  above_.extra = std::exp(high.above - tilt.high * window_top() + high.error);
  double unlost = 0;  // log of the probability that no use's loss is infinite
  for (const LawPart& part : parts) {
    above_.infinite += uses(part) * part.law.above.at_infinity * (1 + 1e-9);
    unlost += uses(part) * std::log1p(-part.law.below.at_infinity);
  }
  above_.extra += above_.infinite;
  below_.extra = -std::expm1(unlost) * (1 - 1e-9);

  slack_ += left_out.loss;
  below_.log_scale = at.below + left_out.log_factor - at.error - 4 * kUnit * std::abs(at.below);
  const double folded = std::exp(high.below - at.below - (tilt.high - theta_) * window_top() + high.error + at.error) +
                        std::exp(low.below - at.below + (theta_ - tilt.low) * window_bottom() + low.error + at.error);
  const double lost = std::min(1.0, folded + left_out.tilted);
  below_.margin = all_bounded_below(parts) ? sum.below.weighted + lost * largest_weight(theta_) : kInfinity;
}

// Calls visit(m, bound on δ(level m) · e^{θ level m − log_scale}) for m from the window's top downwards until it
// returns false.
template <class Visit>
void ComposedLaw::descend(bool above, Visit visit) const {
  const auto size = static_cast<int64_t>(masses_.size());
  const std::vector<double>& y = above ? masses_.imag : masses_.real;
  const double fall = std::exp(-theta_ * step_), shrink = std::exp(-step_), rest = -std::expm1(-step_);
  const double inverse_size = 1 / static_cast<double>(size);
  const double factor = above ? 1 + recurrence_error_ : 1 - recurrence_error_;
  const double margin = above ? above_.margin : -below_.margin;
  double tail = 0, delta = 0;  // Σ_{j≥m} y_j e^{−θ(ℓ_j−ℓ_m)}, and with the factor 1 − e^{ℓ_m−ℓ_j}
  for (int64_t m = first_ + size; visit(m, delta * factor + margin) && m > first_;) {
    delta = fall * (shrink * delta + rest * tail);
    --m;
    tail = y[static_cast<size_t>(m) & static_cast<size_t>(size - 1)] * inverse_size + fall * tail;
  }
}

// Where the bound on δ(ε), linear in e^ε between levels, crosses `target` coming from above: +infinity where it is more
// from the start. Where it is not more down to the window's first level, nothing is known below: above that is an upper
// bound of ε, below it is none.
double ComposedLaw::crossing(bool above, double target) const {
  const double log_scale = above ? above_.log_scale : below_.log_scale, log_target = std::log(target);
  const double fall = std::exp(-theta_ * step_), rest = -std::expm1(-step_);
  double limit = 0, previous_limit = 0, previous = 0, found = kInfinity;
  bool crossed = false;
  descend(above, [&](int64_t m, double scaled) {
    const bool afresh = limit == 0 || (m & 63) == 0;  // before the powers' rounding adds up
    limit = afresh ? std::exp(log_target + theta_ * level(m) - log_scale) : limit * fall;
    if (scaled <= limit) {
      found = std::max(0.0, level(m));
      previous_limit = limit;
      previous = scaled;
      return level(m) > -slack_;
    }
    crossed = true;
    if (found < kInfinity) {
      const double share = std::clamp((previous_limit - previous) / (scaled / fall - previous), 0.0, 1.0);
      found = level(m + 1) + std::log1p(-share * rest);
    }
    return false;
  });
  return above || crossed ? found : 0;
}

double ComposedLaw::epsilon_above(double delta) const {
  const double target = delta * (1 - 1e-12) - above_.extra;
  if (!(target > 0)) return kInfinity;
  const double found = crossing(true, target);
  return std::max(0.0, found == 0 ? 0 : found + slack_ + 1e-12 * step_);
}

double ComposedLaw::epsilon_below(double delta) const {
  if (below_.margin == kInfinity) return 0;
  const double target = delta * (1 + 1e-12) - below_.extra;
  if (target <= 0) return kInfinity;
  const double found = crossing(false, target);
  return found == kInfinity ? 0 : std::max(0.0, found - slack_ - 1e-12 * step_);
}

double ComposedLaw::at(bool above, double epsilon) const {
  const double log_scale = above ? above_.log_scale : below_.log_scale;
  double previous = 0, found = 0;
  descend(above, [&](int64_t m, double scaled) {
    const double value = scaled * std::exp(log_scale - theta_ * level(m));
    found = value;
    if (level(m) <= epsilon) {
      if (m < first_ + static_cast<int64_t>(masses_.size())) {
        const double share = std::expm1(epsilon - level(m + 1)) / std::expm1(-step_);
        found = previous + (value - previous) * std::clamp(share, 0.0, 1.0);
      }
      return false;
    }
    previous = value;
    return true;
  });
  return found;
}

double ComposedLaw::delta_above(double epsilon) const {
  const double lowered = epsilon - slack_;
  if (masses_.size() == 0) return 1;
  const double chernoff = std::min(
      1.0, std::exp(above_.log_scale - theta_ * lowered) * largest_weight(theta_) * (1 + 1e-9) + above_.infinite);
  if (lowered < level(first_)) return chernoff;
  return std::min(chernoff, at(true, lowered) * (1 + 1e-12) + above_.extra);
}

double ComposedLaw::delta_below(double epsilon) const {
  if (below_.margin == kInfinity) return 0;
  return std::clamp(std::max(0.0, at(false, epsilon + slack_)) * (1 - 1e-12) + below_.extra, 0.0, 1.0);
}

}  // namespace sotto::accountants
