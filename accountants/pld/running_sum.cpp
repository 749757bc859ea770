#include "accountants/pld/running_sum.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "accountants/pld/grid_choice.h"
#include "accountants/pld/numerics.h"
#include "accountants/pld/spectrum.h"
#include "accountants/pld/tilted.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kMostEntryError = 1e-2;  // beyond, products of errors would count

// The uses of all kinds up to where Chernoff's bound meets (ε, δ), or all.
double share_that_fits(const std::vector<RunningSum::Kind>& kinds, Direction direction, double epsilon, double delta,
                       double tail, std::vector<SketchedUses>& uses) {
  for (const auto& kind : kinds)
    for (const LawUses& each : kind.uses)
      uses.push_back({each.law->sketch(direction, tail), static_cast<double>(each.count) * kind.most});
  const double multiple = multiple_that_fits(uses, epsilon, delta);
  return multiple > 0 ? std::min(1.0, multiple) : 1;
}

}  // namespace

void RunningSum::Moments::add(const Moments& other, double times) {
  for (const int side : {kAbove, kBelow}) {
    at[side] += times * other.at[side];
    high[side] += times * other.high[side];
    low[side] += times * other.low[side];
  }
  error += times * other.error;
  disclosed += times * other.disclosed;
  undisclosed += times * other.undisclosed;
  offset += times * other.offset;
  offsets += times * other.offsets;
  loss_error += times * other.loss_error;
}

RunningSum::Moments RunningSum::moments(const BracketedLaw& law) const {
  Moments found;
  const LossAtoms* sides[] = {&law.above, bounded_below_ ? &law.below : &law.above};
  for (const int side : {kAbove, kBelow}) {
    found.at[side] = cumulant(*sides[side], tilt_.theta);
    found.high[side] = cumulant(*sides[side], tilt_.high);
    found.low[side] = cumulant(*sides[side], tilt_.low);
    for (const double s : {tilt_.theta, tilt_.high, tilt_.low})
      found.error = std::max(found.error, cumulant_error(*sides[side], s));
  }
  found.error += law.mass_error;
  found.disclosed = law.above.at_infinity;
  found.undisclosed = std::log1p(-law.below.at_infinity);
  found.offset = law.above.offset;
  found.offsets = std::abs(law.above.offset);
  found.loss_error = law.loss_error;
  return found;
}

RunningSum::RunningSum(const std::vector<Kind>& kinds, Direction direction, double epsilon, double delta,
                       const PldLimits& limits)
    : epsilon_(epsilon) {
  if (!choose(kinds, direction, delta, limits)) size_ = 0;
}

bool RunningSum::choose(const std::vector<Kind>& kinds, Direction direction, double delta, const PldLimits& limits) {
  std::vector<LawUses> all;
  double uses = 0, widest = 0;
  for (const Kind& kind : kinds)
    for (const LawUses& each : kind.uses) {
      if (each.law->at_infinity() == 1) return false;
      uses += static_cast<double>(each.count) * kind.most;
      all.push_back(each);
    }
  std::vector<SketchedUses> sketches;
  const double share =
      share_that_fits(kinds, direction, epsilon_, delta, tail_mass(uses, std::log(delta), limits), sketches);
  for (SketchedUses& each : sketches) each.count *= share;
  uses = std::max(1.0, uses * share);
  const Steering steering = steer_to_delta(sketches, delta, 14 - std::log(limits.relative_gap));
  if (!steering.found) return false;
  tilt_ = steering.tilt;

  const double tail = tail_mass(uses, std::log(delta), limits);
  for (const LawUses& each : all) widest = std::max(widest, each.law->span(tail));
  double finest = widest / static_cast<double>(limits.most_levels - 16);
  const double gap = limits.relative_gap * std::max(epsilon_, 0.1 * steering.deviation);
  const double wanted = std::max(step_for(gap, uses, tilt_.theta), finest);
  step_ = fit_lattice(all, std::min(wanted, std::max(finest, 0.25 * steering.deviation)), finest);
  for (int round = 0; round < 4; ++round) {
    std::vector<std::vector<BracketedLaw>> laws;
    double rise = 0, fall = 0;  // of the Chernoff bounds, on the way to the end and there
    bounded_below_ = true;
    for (const Kind& kind : kinds) {
      laws.emplace_back();
      for (const LawUses& each : kind.uses) {
        laws.back().push_back(each.law->on_grid(direction, step_, tail, limits.most_levels));
        bounded_below_ = bounded_below_ && !laws.back().back().below.mass.empty();
        const Moments one = moments(laws.back().back());
        const double count = static_cast<double>(each.count) * kind.most * std::min(1.0, share * 1.05);
        rise += count * std::max(0.0, one.high[kAbove] - one.at[kAbove]);
        fall += count * std::max(0.0, one.low[kAbove] - one.at[kAbove]);
      }
    }
    // All of the tilted sum but e^−tail on either side, whatever part of the steps has been taken.
    const double top = std::max(8 * step_, (rise + tilt_.tail) / (tilt_.high - tilt_.theta) - epsilon_);
    const double bottom = std::min(-8 * step_, -(fall + tilt_.tail) / (tilt_.theta - tilt_.low) - epsilon_);
    const double levels = (top - bottom) / step_ + 4;
    if (!std::isfinite(levels)) return false;
    if (levels > static_cast<double>(limits.largest_transform)) {
      finest = 1.05 * step_ * levels / static_cast<double>(limits.largest_transform);
      step_ = fit_lattice(all, finest, finest);
      continue;
    }
    size_ = std::bit_ceil(static_cast<size_t>(levels));
    top_ = static_cast<int64_t>(std::ceil(top / step_)) + 1;
    build(kinds, laws);
    return true;
  }
  return false;
}

void RunningSum::build(const std::vector<Kind>& kinds, const std::vector<std::vector<BracketedLaw>>& laws) {
  Fft fft(size_);
  ComplexArray x(size_);
  const double transform_error = 2.02 * fft_error(size_);
  for (size_t kind = 0; kind < kinds.size(); ++kind) {
    Term term{{unit_spectrum(size_), unit_spectrum(size_)}, {}, 0};
    for (size_t part = 0; part < laws[kind].size(); ++part) {
      const BracketedLaw& law = laws[kind][part];
      const int64_t count = kinds[kind].uses[part].count;
      tilt_into(law.above, tilt_.theta, x.real);
      if (bounded_below_)
        tilt_into(law.below, tilt_.theta, x.imag);
      else
        std::fill(x.imag.begin(), x.imag.end(), 0.0);
      fft.transform(x);
      const auto [above, below] = unpacked(x);
      multiply_by_power(term.spectra[kAbove], above, count);
      multiply_by_power(term.spectra[kBelow], below, count);
      term.moments.add(moments(law), static_cast<double>(count));
      term.entry_error += static_cast<double>(count) * (transform_error + 5 * kUnit) + 2 * kNegligible;
    }
    terms_.push_back(std::move(term));
  }
  turn_ = ComplexArray(size_);
  turn_.real[1] = 1;
  fft.transform(turn_);
  for (const int side : {kAbove, kBelow}) sum_[side] = unit_spectrum(size_);
  weigh(fft);
}

// The weights' transforms, with the 1/N of Parseval and the other half's share.
void RunningSum::weigh(Fft& fft) {
  ComplexArray w(size_);
  const auto weight = [&](int64_t t) {
    const double x = static_cast<double>(t) * step_;
    return std::exp(-tilt_.theta * x) * -std::expm1(-x);
  };
  for (int64_t t = 0; t <= top_; ++t) {
    w.real[static_cast<size_t>(t)] = weight(t);
    weight_sum_ += weight(t + 1);
    squared_weights_ += weight(t + 1) * weight(t + 1);
  }
  for (int64_t m = -1; m <= top_; ++m) w.imag[static_cast<size_t>(m) & (size_ - 1)] = weight(m + 1);
  fft.transform(w);
  std::tie(weights_[0], weights_[1]) = unpacked(w);
  for (HalfSpectrum& each : weights_)
    for (size_t k = 0; k <= size_ / 2; ++k) {
      const double share = (k == 0 || k == size_ / 2 ? 1 : 2) / static_cast<double>(size_);
      each.re[k] *= share;
      each.im[k] *= share;
    }
}

double RunningSum::slack() const {
  const double window = static_cast<double>(size_) * step_;
  return taken_.loss_error + 16 * kUnit * (taken_.offsets + epsilon_ + window);
}

// Where the sum's level 0 is, in levels above ε, moved by the slack: up above, down below.
double RunningSum::position(int side) const {
  return (taken_.offset + (side == kAbove ? slack() : -slack()) - epsilon_) / step_;
}

void RunningSum::take(size_t kind, int64_t count) {
  const Term* term = size_ > 0 ? &terms_[kind] : nullptr;
  if (!term) return;
  const auto times = static_cast<double>(count);
  taken_.add(term->moments, times);
  entry_error_ += times * (term->entry_error + 5 * kUnit) + 2 * kNegligible + fft_error(size_) + 5 * kUnit;
  for (const int side : {kAbove, kBelow}) {
    if (side == kBelow && !bounded_below_) continue;
    multiply_by_power(sum_[side], term->spectra[side], count);
    const double place = std::floor(position(side));
    if (std::abs(place) > 0x1p52) return void(size_ = 0);
    const auto wanted = static_cast<int64_t>(place);
    shift_by(sum_[side], turn_, wanted - moved_[side]);
    moved_[side] = wanted;
  }
}

// δ e^{θε − ΣK}: between the levels below and above ε it is linear in e^ε.
double RunningSum::scaled(int side) const {
  const double fraction = std::clamp(position(side) - static_cast<double>(moved_[side]), 0.0, 1.0);
  const double upper = fraction * step_, lower = upper - step_;
  const double share = std::clamp(-std::expm1(lower) / (std::exp(lower) * std::expm1(step_)), 0.0, 1.0);
  const auto [at_upper, at_lower] = dot(sum_[side], weights_[0], weights_[1]);
  const double terms = static_cast<double>(sum_[side].used) + 8;
  const double margin = 1.02 * std::sqrt(squared_weights_) * (entry_error_ + 2 * terms * kUnit) +
                        1.02 * (fft_error(size_) * 2 + 4 * kUnit) * weight_sum_ +
                        100 * kUnit * largest_weight(tilt_.theta);
  const double sign = side == kAbove ? 1 : -1;
  const double folded =
      side == kAbove
          ? 0
          : std::exp(taken_.high[kBelow] - taken_.at[kBelow] -
                     (tilt_.high - tilt_.theta) * (epsilon_ + static_cast<double>(top_ + 1) * step_ - slack()) +
                     2 * taken_.error) +
                std::exp(
                    taken_.low[kBelow] - taken_.at[kBelow] +
                    (tilt_.theta - tilt_.low) *
                        (epsilon_ + static_cast<double>(top_ + 2 - static_cast<int64_t>(size_)) * step_ + slack()) +
                    2 * taken_.error);
  const double off = margin + std::min(1.0, folded) * largest_weight(tilt_.theta);
  const auto value = [&](double found, double x) {
    return std::max(0.0, found + sign * off) * std::exp(-tilt_.theta * x);
  };
  return share * value(at_upper, upper) + (1 - share) * value(at_lower, lower);
}

// log of what `scaled` is to be multiplied by, widened.
double RunningSum::log_scale(int side) const {
  const double error = taken_.error + 8 * kUnit * (std::abs(taken_.at[side]) + tilt_.theta * (epsilon_ + step_));
  return taken_.at[side] - tilt_.theta * epsilon_ + (side == kAbove ? error : -error);
}

double RunningSum::delta_above() const {
  if (size_ == 0 || !(entry_error_ < kMostEntryError)) return 1;
  const double window_top = epsilon_ + static_cast<double>(top_ + 1) * step_ - slack();
  const double beyond = std::exp(taken_.high[kAbove] - tilt_.high * window_top + taken_.error +
                                 8 * kUnit * (std::abs(taken_.high[kAbove]) + std::abs(tilt_.high * window_top)));
  const double upper =
      scaled(kAbove) * std::exp(log_scale(kAbove)) * (1 + 1e-12) + beyond + taken_.disclosed * (1 + 1e-9);
  return upper < 1 ? upper : 1;  // NaN is no bound
}

double RunningSum::delta_below() const {
  if (size_ == 0 || !bounded_below_ || !(entry_error_ < kMostEntryError)) return 0;
  const double lower =
      scaled(kBelow) * std::exp(log_scale(kBelow)) * (1 - 1e-12) - std::expm1(taken_.undisclosed) * (1 - 1e-9);
  return lower > 0 ? std::min(lower, 1.0) : 0;
}

}  // namespace sotto::accountants
