#include "accountants/pld/sampled_gaussian_law.h"

#include <algorithm>
#include <cmath>

#include "accountants/pld/normal_mass.h"
#include "accountants/pld/numerics.h"
#include "base/error.h"
#include "base/instruction_set.h"

namespace sotto::accountants {
namespace {

constexpr double kRootTwoPi = 2.5066282746310005024;
constexpr double kLargestLoss = 600;    // e^loss must stay a double
constexpr double kUnitMass = 0x1p-600;  // of masses on a grid: Q's may be e^−600 of P's, and those 1e-290

// e^z and e^z − 1 for |z| ≤ 1/8, to 3 u: Taylor's terms up to z^10 / 10!, the next is below 2^−53 · 10^−3 of the sum.
inline double small_expm1(double z) {
  double sum = 1.0 / 3628800;
  sum = sum * z + 1.0 / 362880;
  sum = sum * z + 1.0 / 40320;
  sum = sum * z + 1.0 / 5040;
  sum = sum * z + 1.0 / 720;
  sum = sum * z + 1.0 / 120;
  sum = sum * z + 1.0 / 24;
  sum = sum * z + 1.0 / 6;
  sum = sum * z + 0.5;
  sum = sum * z + 1;
  return sum * z;
}

// ∫ φ and ∫ |r − r(u)| φ, both divided by φ(u) and the second by q e^t(u), from u to u + width (which may be negative).
//
// Four Gauss–Legendre nodes on panels of width w with w · S ≤ 1/16, S = |u| + 1/σ + 2 at its largest. On the disc of
// radius R = 8/S ≤ 4 around a panel the integrand is at most e^8 times what it is on the panel (|u|R + R²/2 + R/σ ≤ 8),
// and R is 256 half-widths, so the disc holds an ellipse with ρ > 511: the rule's relative error is below
// 5.8 e^8 ρ^−7 < 2e-15 (Trefethen 2008, Theorem 4.5).
struct Moments {
  double mass, distance;
};

constexpr double kPanel = 1.0 / 16;
constexpr double kQuadratureError = 2e-15;

inline Moments one_panel(double u, double width, double inverse_sigma) {
  const double half = width / 2;
  double mass = 0, distance = 0;
  for (int i = 0; i < 4; ++i) {
    const double y = half * (1 + kGaussNodes[i]);
    const double weight = kGaussWeights[i] * (1 + small_expm1(-y * (u + 0.5 * y)));
    mass += weight;
    distance += weight * small_expm1(y * inverse_sigma);
  }
  return {mass * std::abs(half), std::abs(distance * half)};
}

SOTTO_VECTORISED void panels(size_t count, const double* __restrict u, const double* __restrict width,
                             double inverse_sigma, double* __restrict mass, double* __restrict distance) {
  for (size_t k = 0; k < count; ++k) {
    const Moments moments = one_panel(u[k], width[k], inverse_sigma);
    mass[k] = moments.mass;
    distance[k] = moments.distance;
  }
}

double panel_count(double u, double width, double inverse_sigma) {
  return std::abs(width) * (std::max(std::abs(u), std::abs(u + width)) + inverse_sigma + 2) / kPanel;
}

// The same over any width, with ∫ (r(u') − r(−∞)) φ divided likewise as `rest`.
struct WideMoments {
  double mass, distance, rest;
};

WideMoments many_panels(double u, double width, double inverse_sigma) {
  const auto count = static_cast<int64_t>(std::ceil(panel_count(u, width, inverse_sigma)));
  const double half = width / static_cast<double>(2 * count);
  double mass = 0, distance = 0, rest = 0;
  for (int64_t p = 0; p < count; ++p)
    for (int i = 0; i < 4; ++i) {
      const double y = half * (static_cast<double>(2 * p + 1) + kGaussNodes[i]);
      const double weight = kGaussWeights[i] * std::exp(-y * (u + 0.5 * y));
      mass += weight;
      distance += weight * std::expm1(y * inverse_sigma);
      rest += weight * std::exp(y * inverse_sigma);
    }
  return {mass * std::abs(half), std::abs(distance * half), rest * std::abs(half)};
}

}  // namespace

SampledGaussianLaw::SampledGaussianLaw(double sigma, double q) : sigma_(sigma), q_(q) {
  require(sigma > 0 && q > 0 && q <= 1, "sigma must be above 0 and the rate in (0, 1], got ", sigma, " and ", q);
}

BracketedLaw SampledGaussianLaw::on_grid(Direction direction, double step, double tail, size_t most_levels) const {
  if (within_a_step(step, tail)) return around_zero(direction, step, tail);
  const GridBuilder grid = discretise(step, tail, tail, most_levels);
  BracketedLaw law = direction == Direction::remove ? grid.remove() : grid.add();
  // Too coarse for a law below, which beside other laws it may be: then no output is told apart.
  if (law.below.mass.empty()) law.below = atoms_below({.p = {1}, .q = {1}, .loss = {0}}, law.above.offset, step);
  return law;
}

// Not above 0 below the lowest loss.
double SampledGaussianLaw::lift(double level) const {
  return q_ == 1 ? std::exp(level) : std::expm1(level) + q_;
}

double SampledGaussianLaw::output_at(double level) const {
  return sigma_ * (q_ == 1 ? level : std::log(lift(level) / q_)) + 0.5 / sigma_;
}

// Outputs of losses from `first` on, shifted by `apart` deviations so that none is missed or none is there twice. No
// cell reaches over a level first + i · step but by that.
LossCells SampledGaussianLaw::rare_cells(double first, double step, double tail, double apart) const {
  LossCells cells;
  const double end = std::min(upper_cut(tail), output_at(0.5 * kLargestLoss));
  double from = output_at(first) + apart;
  for (int64_t i = 1; from < end; ++i) {
    const double to = std::min(end, output_at(first + static_cast<double>(i) * step) + apart);
    const double q = normal_mass(from, to - from);
    const double p = (1 - q_) * q + q_ * normal_mass(from - 1 / sigma_, to - from);
    cells.p.push_back(p);
    cells.q.push_back(q);
    cells.loss.push_back(std::log(p / q));
    from = to;
  }
  const double farthest = std::max(std::abs(end), std::abs(end - 1 / sigma_)) + 1;
  cells.mass_error = kUnit * (64 + 64 * farthest * farthest);
  cells.loss_error = 2 * cells.mass_error + std::abs(apart) / sigma_;
  cells.above.p = p_above(end);
  cells.above.edge = log_ratio(end);
  return cells;
}

// Adding a unit loses little, whatever the output: what is rare are losses far below 0.
std::optional<SplitLaw> SampledGaussianLaw::split(Direction direction, const SplitGrid& grid) const {
  constexpr double kApart = 1e-9;
  if (q_ == 1) return std::nullopt;
  const double bottom = -log_ratio(lower_cut(grid.tail)), top = log_ratio(upper_cut(grid.bulk_tail));
  if (top + bottom > 0.25 * static_cast<double>(grid.most_levels) * grid.bulk_step || top < 2 * grid.bulk_step ||
      log_ratio(upper_cut(grid.tail)) > static_cast<double>(grid.most_levels) * grid.rare_step)
    return std::nullopt;
  const GridBuilder builder = discretise(grid.bulk_step, grid.bulk_tail, grid.tail, grid.most_levels);
  if (direction == Direction::add) return SplitLaw{builder.add(), {}};
  SplitLaw law{builder.remove(), {}};
  law.bulk.above.at_infinity = 0;
  const double first = law.bulk.above.loss(law.bulk.above.mass.size() - 1);
  const LossCells over = rare_cells(first, grid.rare_step, grid.tail, -kApart);
  const LossCells under = rare_cells(first, grid.rare_step, grid.tail, kApart);
  law.rare.above = atoms_above(over, first, grid.rare_step);
  law.rare.below = atoms_below(under, first, grid.rare_step);
  law.rare.mass_error = over.mass_error + 32 * kUnit;
  law.rare.loss_error = 2 * over.loss_error + 16 * kUnit * (1 + std::abs(over.above.edge));
  return law;
}

// Trapezoidal nodes in u = x/σ, without the tails that the grid will not have either.
LossSketch SampledGaussianLaw::sketch(Direction direction, double tail) const {
  LossSketch found;
  const double first = lower_cut(tail), last = upper_cut(tail);
  const double width = (last - first) / std::ceil((last - first) / 0.125);
  for (double u = first + width / 2; u < last; u += width) {
    const double loss = log_ratio(u), log_density = log_normal_density(u);
    const bool remove = direction == Direction::remove;
    found.mass.push_back(width * std::exp(log_density + (remove ? loss : 0)));
    found.loss.push_back(remove ? loss : -loss);
  }
  return found;
}

double SampledGaussianLaw::span(double tail) const {
  // 0 would say that there is no loss at all; where the unit hardly joins and then tells all, it is beyond these tails.
  return std::max(log_ratio(upper_cut(tail)) - log_ratio(lower_cut(tail)), std::numeric_limits<double>::min());
}

// Adding a unit never loses more than −log(1−q), whatever the output.
double SampledGaussianLaw::most_loss(Direction direction) const {
  return direction == Direction::add ? -std::log1p(-q_) : kInfinity;
}

bool SampledGaussianLaw::within_a_step(double step, double tail) const {
  if (log_ratio(upper_cut(tail)) > step) return false;
  return -std::log1p(-q_) <= step || -log_ratio(lower_cut(tail)) <= step;
}

// Beside other laws, whose losses are far larger, a grid may be so coarse that the atoms −h, 0 and h have it all. With
// c = ∫ |r − 1| dQ / 2 in either half, connecting the dots takes c / (1 − e^−h) of the half that loses to its outer
// atom and c / (e^h − 1) of the other half to the other one; 0 keeps the rest. As functions of c, the first grows with
// all δ and the second falls: c may count the tails, which are at the outer atoms (or at infinity) themselves, for the
// first, and may not for the second. Below, no output is told apart.
BracketedLaw SampledGaussianLaw::around_zero(Direction direction, double step, double tail) const {
  constexpr double kUnsure = 1e-13;  // relative: what erf and erfc are good to
  const bool remove = direction == Direction::remove, has_floor = -std::log1p(-q_) <= step;
  const double below = has_floor ? 0 : q_below(lower_cut(tail)), end = upper_cut(tail), above = p_above(end);
  const double half = 0.5 / sigma_, c = q_ * std::erf(half / std::sqrt(2.0)), most = c * (1 + kUnsure);
  const double least = std::max(0.0, c * (1 - kUnsure) - (remove ? below : above));
  const double more = -std::expm1(-step), less = std::expm1(step);
  const double up = normal_tail(half), down = normal_tail(-half);  // Q masses of the halves
  const double told = remove ? up - most / less : down - most / more;
  const double untold = remove ? down - least / more : up - least / less;
  const double rest = (std::max(0.0, told) + std::max(0.0, untold)) * (1 + kUnsure);
  const double other_tail = remove ? below : normal_tail(end) * (1 + kUnsure);
  BracketedLaw law;
  law.above = {0, step, -1, {least / less + other_tail, rest, most / more}, remove ? above : below};
  law.below = {0, step, 0, {1}, 0};
  law.mass_error = 2 * kUnsure;
  return law;
}

double SampledGaussianLaw::log_ratio(double u) const {
  const double t = (u - 0.5 / sigma_) / sigma_;
  if (q_ == 1) return t;
  return t > 30 ? t + std::log(q_) + std::log1p((1 - q_) / q_ * std::exp(-t)) : std::log1p(q_ * std::expm1(t));
}

double SampledGaussianLaw::p_above(double u) const {
  return ((1 - q_) * normal_tail(u) + q_ * normal_tail(u - 1 / sigma_)) * (1 + 1e-13);
}

double SampledGaussianLaw::q_below(double u) const {
  return normal_tail(-u) * (1 + 1e-13);
}

double SampledGaussianLaw::upper_cut(double mass) const {
  double low = -40, high = 40 + 1 / sigma_;
  for (int i = 0; i < 50; ++i) {
    const double middle = (low + high) / 2;
    (p_above(middle) <= mass ? high : low) = middle;
  }
  return high;
}

double SampledGaussianLaw::lower_cut(double mass) const {
  double low = -40, high = 40;
  for (int i = 0; i < 50; ++i) {
    const double middle = (low + high) / 2;
    (q_below(middle) <= mass ? low : high) = middle;
  }
  return low;
}

// The loss that the outputs below the loss `mean` + step/2 have on average: a level there needs no correction.
double SampledGaussianLaw::lowest_level(double step) const {
  const auto mean_below = [&](double u) {
    const double q_mass = normal_tail(-u);
    return q_mass > 0 ? std::log1p(q_ * (normal_tail(1 / sigma_ - u) / q_mass - 1)) : std::log1p(-q_);
  };
  double low = -37, high = 40;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (log_ratio(middle) < mean_below(middle) + step / 2 ? low : high) = middle;
  }
  return mean_below(high) + 1e-6 * step;  // provably on the side where it takes in from above
}

GridBuilder SampledGaussianLaw::discretise(double step, double tail_p, double tail_q, size_t most_levels) const {
  const double inverse = 1 / sigma_;
  const double bottom = std::max(log_ratio(lower_cut(tail_q)), -kLargestLoss);
  const double top = std::min(log_ratio(upper_cut(tail_p)), kLargestLoss);
  double base = q_ < 1 ? lowest_level(step) : bottom;
  bool has_floor = q_ < 1;
  if (bottom > base + step) {
    base += std::floor((bottom - base) / step) * step;
    has_floor = false;
  }
  size_t spare = 0;  // levels below the first that outputs reach
  if (has_floor)
    while (spare < most_levels / 2 && lift(base - static_cast<double>(spare) * step) > 0) ++spare;
  if (spare == most_levels / 2) {  // so much noise that the least loss is far below all that matter
    base = bottom;
    spare = 0;
    has_floor = false;
  }
  const double offset = base - static_cast<double>(spare) * step;
  const size_t levels =
      std::min(most_levels, spare + 2 + static_cast<size_t>(std::max(0.0, std::ceil((top - base) / step))));
  require(levels >= spare + 2, "a grid of ", most_levels, " levels is too small for a step of ", step);

  const size_t count = levels - spare;
  std::vector<double> u(count), density(count), lifts(count), loss_error(levels);
  double largest_u = 0;
  for (size_t k = 0; k < count; ++k) {
    const double level = offset + static_cast<double>(spare + k) * step;
    lifts[k] = lift(level);
    const double t = q_ == 1 ? level : std::log(lifts[k] / q_);
    u[k] = sigma_ * t + 0.5 * inverse;
    const double root = std::exp(-0.25 * u[k] * u[k]);
    density[k] = root * (root / (kRootTwoPi * kUnitMass));
    const double share = lifts[k] * std::exp(-level);
    loss_error[spare + k] = kUnit * (2 * std::abs(level) + (q_ < 1 ? 2 * q_ * std::exp(-level) : 0) +
                                     share * (2 * std::abs(t) + 2 * inverse * (2 * std::abs(u[k]) + inverse)));
    largest_u = std::max(largest_u, std::abs(u[k]));
  }
  for (size_t k = 0; k < spare; ++k) loss_error[k] = loss_error[spare] + kUnit * 4 * std::abs(offset);
  const double reach = inverse * (largest_u + inverse);
  GridBuilder grid(offset, step, levels, 4 * (kQuadratureError + kUnit * (largest_u * largest_u + 8 * reach + 28)),
                   kUnitMass);
  grid.set_loss_errors(std::move(loss_error));

  // Each level's half of the gap to the next, and of the gap to the one before.
  std::vector<double> right(count), left(count), mass(count), distance(count);
  for (size_t k = 0; k + 1 < count; ++k) {
    const double gap = u[k + 1] - u[k];
    const bool narrow = panel_count(u[k], gap, inverse) < 1;
    const double middle =
        narrow ? u[k] + gap / 2
               : sigma_ * (q_ == 1 ? offset + (static_cast<double>(spare + k) + 0.5) * step
                                   : std::log(lift(offset + (static_cast<double>(spare + k) + 0.5) * step) / q_)) +
                     0.5 * inverse;
    right[k] = middle - u[k];
    left[k + 1] = middle - u[k + 1];
  }
  for (const bool rightwards : {true, false}) {
    std::vector<double>& width = rightwards ? right : left;
    panels(count, u.data(), width.data(), inverse, mass.data(), distance.data());
    for (size_t k = rightwards ? 0 : 1; k < (rightwards ? count - 1 : count); ++k) {
      Moments moments{mass[k], distance[k]};
      if (panel_count(u[k], width[k], inverse) > 1) {
        const auto wide = many_panels(u[k], width[k], inverse);
        moments = {wide.mass, wide.distance};
      }
      const size_t i = spare + k, low = rightwards ? i : i - 1;
      const double q_mass = density[k] * moments.mass, near = density[k] * lifts[k] * moments.distance;
      const double far = grid.exp_level(low) * std::expm1(step) * q_mass - near;
      grid.add_above(low, low + 1, q_mass, rightwards ? near : far, rightwards ? far : near);
      grid.add_below(i, q_mass, rightwards ? near : -near);
    }
  }

  // Below the first level, and what is left beyond.
  if (has_floor) {
    const double end = std::min(u[0], -14.0) - 1;
    const WideMoments low = many_panels(u[0], end - u[0], inverse);
    const double q_low = density[0] * low.mass, lack = density[0] * lifts[0] * low.distance;
    const double rest = q_below(end) / kUnitMass;
    grid.add_below(spare, q_low, -lack);
    const double excess = density[0] * lifts[0] * low.rest - lift(offset) * q_low;
    grid.add_above(0, spare, q_low, excess, lack);
    grid.add_p_at(spare, rest * grid.exp_level(spare));
    grid.add_q_at_lowest(rest);
  } else {
    const double low = q_below(u[0]) / kUnitMass;
    grid.add_p_at(spare, low * grid.exp_level(spare));
    grid.add_q_at_infinity(low);
  }
  grid.add_p_at_infinity(p_above(u[count - 1]) / kUnitMass);
  grid.add_q_at_highest((normal_tail(u[count - 1]) * (1 + 1e-13) + std::numeric_limits<double>::min()) / kUnitMass);
  grid.settle();
  return grid;
}

}  // namespace sotto::accountants
