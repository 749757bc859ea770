#include "accountants/pld/cell_law.h"

#include <algorithm>
#include <cmath>

#include "accountants/pld/numerics.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kLargestLoss = 300;  // e^(loss − level) must stay a double
constexpr size_t kSketchBins = 400;

class Grid {
 public:
  Grid(const LossCells& cells, double offset, double step) : offset_(offset), step_(step) {
    double largest = 0;
    for (const double loss : cells.loss) largest = std::max(largest, std::abs(loss));
    snap_ = std::min(0.25, (8 * kUnit * (largest + std::abs(offset)) + cells.loss_error) / step);
  }
  double level(int64_t i) const { return offset_ + static_cast<double>(i) * step_; }
  // The level at or below; a loss that is a level but for rounding is at it.
  int64_t floor(double loss) const { return static_cast<int64_t>(std::floor((loss - offset_) / step_ + snap_)); }
  int64_t ceil(double loss) const { return static_cast<int64_t>(std::ceil((loss - offset_) / step_ - snap_)); }

 private:
  double offset_, step_, snap_;
};

// Masses at levels, put in in any order.
LossAtoms collect(const std::vector<std::pair<int64_t, double>>& placed, double offset, double step) {
  LossAtoms atoms{offset, step, 0, {}, 0};
  if (placed.empty()) return atoms;
  const auto [least, most] = std::minmax_element(placed.begin(), placed.end());
  atoms.first = least->first;
  atoms.mass.resize(static_cast<size_t>(most->first - least->first) + 1);
  for (const auto& [level, mass] : placed) atoms.mass[static_cast<size_t>(level - atoms.first)] += mass;
  return atoms;
}

}  // namespace

LossCells LossCells::reversed() const {
  const auto turned = [](const Tail& tail) { return Tail{tail.q, tail.p, -tail.edge}; };
  LossCells other{{q.rbegin(), q.rend()},
                  {p.rbegin(), p.rend()},
                  {loss.rbegin(), loss.rend()},
                  q_at_infinity,
                  p_at_infinity,
                  turned(above),
                  turned(below),
                  mass_error,
                  loss_error};
  for (double& each : other.loss) each = -each;
  return other;
}

LossAtoms atoms_above(const LossCells& cells, double offset, double step) {
  const Grid grid(cells, offset, step);
  std::vector<std::pair<int64_t, double>> placed;
  double at_infinity = cells.p_at_infinity;
  for (size_t k = 0; k < cells.p.size(); ++k) {
    const double loss = std::max(cells.loss[k], -kLargestLoss);
    if (loss > kLargestLoss) {
      at_infinity += cells.p[k];
      continue;
    }
    const int64_t low = grid.floor(loss);
    const double share = std::clamp(std::expm1(grid.level(low) - loss) / std::expm1(-step), 0.0, 1.0);
    placed.emplace_back(low, cells.p[k] * (1 - share));
    if (share > 0) placed.emplace_back(low + 1, cells.p[k] * share);
  }
  at_infinity += cells.above.p;
  if (cells.below.p > 0)
    placed.emplace_back(grid.ceil(std::clamp(cells.below.edge, -kLargestLoss, kLargestLoss)), cells.below.p);
  LossAtoms atoms = collect(placed, offset, step);
  atoms.at_infinity = at_infinity;
  return atoms;
}

// In the code below all slopes at a level λ are in units of e^−λ: multiplied by e^λ they are masses of P.
LossAtoms atoms_below(const LossCells& cells, double offset, double step) {
  const Grid grid(cells, offset, step);
  const std::vector<double>&p = cells.p, &loss = cells.loss;
  std::vector<std::pair<int64_t, double>> placed;
  size_t left = p.size();  // cells from there on have been passed
  while (left > 0 && loss[left - 1] > kLargestLoss) --left;
  if (left == 0) return collect(placed, offset, step);

  int64_t knot = grid.floor(loss[left - 1]);
  double slack = 0, corner = 0;  // δ minus the line at the knot; the slope that δ gained since the last knot
  size_t terms = 0;              // of these sums
  const auto pass = [&](int64_t to) {
    const double level = grid.level(to);
    for (; left > 0 && (loss[left - 1] >= level || grid.floor(loss[left - 1]) >= to); --left, ++terms) {
      const double apart = std::min(0.0, level - loss[left - 1]);
      slack += p[left - 1] * -std::expm1(apart);
      corner += p[left - 1] * std::exp(apart);
    }
  };
  pass(knot);
  double previous = 0;  // by how much the last line was steeper than δ above the knot
  for (;;) {
    const double level = grid.level(knot);
    // The tangent's slope beyond δ's own: the least of height over distance. Both grow steadily, so the first rise ends
    // the search.
    double height = slack, steeper = 0, at = level, least = kInfinity, steeper_there = 0;
    size_t touch = left;
    for (size_t k = left; k-- > 0; ++terms) {
      if (loss[k] < -kLargestLoss) break;
      height += steeper * std::exp(at - level) * -std::expm1(loss[k] - at);
      const double slope = height / -std::expm1(loss[k] - level);
      if (slope > least) break;
      steeper += p[k] * std::exp(level - loss[k]);
      at = loss[k];
      least = slope;
      touch = k;
      steeper_there = steeper;
    }
    const bool at_end = touch == 0 || loss[touch - 1] < -kLargestLoss;
    const double to_origin = at_end ? height + steeper * std::exp(at - level) : kInfinity;
    const double error = kUnit * (32 + 4 * static_cast<double>(terms));
    const double slope = std::min(least, to_origin) * (1 - error);
    const double mass = corner + slope - previous;
    placed.emplace_back(knot, std::max(0.0, mass - error * (corner + slope + previous)));
    if (to_origin <= least) break;

    const int64_t next = std::min(knot - 1, grid.floor(loss[touch]));
    const double drop = grid.level(next) - level;
    const double lift = std::max(0.0, steeper_there - slope), reach = std::exp(loss[touch] - level) - std::exp(drop);
    // δ between the touching cell and the next knot, above the line; passing the cells adds those further down.
    const size_t passed = left;
    left = touch;
    slack = std::max(0.0, lift * reach - error * steeper_there * std::exp(drop));
    corner = 0;
    terms = passed - touch;
    for (size_t k = touch; k < passed; ++k) corner += p[k] * std::exp(grid.level(next) - loss[k]);
    pass(next);
    slack *= 1 - error;
    previous = slope * std::exp(drop);
    knot = next;
  }
  return collect(placed, offset, step);
}

BracketedLaw CellLaw::on_grid(Direction direction, double step, double tail, size_t most_levels) const {
  const auto [lowest, highest] = range(tail);
  require(highest - lowest <= static_cast<double>(most_levels) * step, "a grid of ", most_levels,
          " levels is too small for a step of ", step, " and losses from ", lowest, " to ", highest);
  const bool remove = direction == Direction::remove;
  const LossCells forward = cells(step, tail), cut = remove ? forward : forward.reversed();
  const std::optional<LossCells> apart = cells_below(step, tail);
  const LossCells& under = !apart ? cut : remove ? *apart : apart->reversed();
  const double offset = remove ? anchor() : -anchor();
  BracketedLaw law;
  law.above = atoms_above(cut, offset, step);
  law.below = atoms_below(under, offset, step);
  law.below.at_infinity = under.p_at_infinity;
  const double largest = std::max(std::abs(lowest), std::abs(highest)) + std::abs(offset);
  law.loss_error = 2 * std::max(cut.loss_error, under.loss_error) + 16 * kUnit * largest;
  law.mass_error = std::max(cut.mass_error, under.mass_error) + 32 * kUnit;
  return law;
}

namespace {

// Of a law's cells those of losses in [from, to], as one side of a bracket needs them.
LossCells between(const LossCells& cells, double from, double to) {
  LossCells found;
  for (size_t k = 0; k < cells.p.size(); ++k)
    if (cells.loss[k] >= from && cells.loss[k] <= to) {
      found.p.push_back(cells.p[k]);
      found.q.push_back(cells.q[k]);
      found.loss.push_back(cells.loss[k]);
    }
  found.mass_error = cells.mass_error;
  found.loss_error = cells.loss_error;
  return found;
}

}  // namespace

// Both grids have a level where the parts meet. Cells end there but for a billionth of a step, so above the bulk has
// the next cell, too, and below it has one less.
std::optional<SplitLaw> CellLaw::split(Direction direction, const SplitGrid& grid) const {
  const bool remove = direction == Direction::remove;
  const auto [lowest, highest] = range(grid.bulk_tail);
  const auto [least, most] = range(grid.tail);
  const double times = std::ceil(grid.rare_step / grid.bulk_step), coarse = times * grid.bulk_step;
  const double offset = remove ? anchor() : -anchor(), end = remove ? highest : -lowest;
  if (highest - lowest > static_cast<double>(grid.most_levels) * grid.bulk_step ||
      most - least > static_cast<double>(grid.most_levels) * coarse)
    return std::nullopt;
  const double meet = offset + std::floor((end - offset) / coarse) * coarse;
  const auto turned = [&](const LossCells& cells) { return remove ? cells : cells.reversed(); };
  const auto both = [&](double step, double tail, const auto& above, const auto& below) {
    const LossCells over = above(turned(cells(step, tail)));
    const std::optional<LossCells> apart = cells_below(step, tail);
    const LossCells under = below(turned(apart ? *apart : cells(step, tail)));
    BracketedLaw law;
    law.above = atoms_above(over, offset, step);
    law.below = atoms_below(under, offset, step);
    law.below.at_infinity = under.p_at_infinity;
    const double largest = std::max(std::abs(least), std::abs(most)) + std::abs(offset);
    law.loss_error = 2 * std::max(over.loss_error, under.loss_error) + 16 * kUnit * largest;
    law.mass_error = std::max(over.mass_error, under.mass_error) + 32 * kUnit;
    return law;
  };
  const double apart = grid.bulk_step;
  SplitLaw law;
  law.bulk = both(
      apart, grid.bulk_tail,
      [&](const LossCells& cells) {
        LossCells found = between(cells, -kInfinity, meet + apart);
        found.below = cells.below;
        return found;
      },
      [&](const LossCells& cells) { return between(cells, -kInfinity, meet - apart); });
  law.rare = both(
      coarse, grid.tail,
      [&](const LossCells& cells) {
        LossCells found = between(cells, meet, kInfinity);
        found.above = cells.above;
        found.p_at_infinity = cells.p_at_infinity;
        return found;
      },
      [&](const LossCells& cells) {
        LossCells found = between(cells, meet, kInfinity);
        found.p_at_infinity = cells.p_at_infinity;
        return found;
      });
  return law;
}

LossSketch CellLaw::sketch(Direction direction, double tail) const {
  const auto [lowest, highest] = range(tail);
  const double width = std::max((highest - lowest) / static_cast<double>(kSketchBins), 1e-290);
  const LossCells cut = cells(width, tail);
  const bool remove = direction == Direction::remove;
  std::vector<double> mass(kSketchBins + 1), moment(kSketchBins + 1);
  for (size_t k = 0; k < cut.p.size(); ++k) {
    const double weight = remove ? cut.p[k] : cut.q[k], loss = remove ? cut.loss[k] : -cut.loss[k];
    const auto bin = static_cast<size_t>(std::clamp((cut.loss[k] - lowest) / width, 0.0, double{kSketchBins}));
    mass[bin] += weight;
    moment[bin] += weight * loss;
  }
  LossSketch found;
  for (size_t bin = 0; bin <= kSketchBins; ++bin)
    if (mass[bin] > 0) {
      found.mass.push_back(mass[bin]);
      found.loss.push_back(moment[bin] / mass[bin]);
    }
  return found;
}

double CellLaw::span(double tail) const {
  const auto [lowest, highest] = range(tail);
  return highest - lowest;
}

}  // namespace sotto::accountants
