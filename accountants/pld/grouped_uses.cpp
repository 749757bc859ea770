#include "accountants/pld/grouped_uses.h"

#include <algorithm>
#include <cmath>

#include "accountants/pld/cell_law.h"
#include "accountants/pld/grid_choice.h"
#include "accountants/pld/group.h"
#include "accountants/pld/numerics.h"
#include "accountants/pld/tilted.h"

namespace sotto::accountants {
namespace {

constexpr double kManyLevels = 1 << 14;               // a law of more is split
constexpr double kLeastRare = 1e-2, kMostRare = 1e3;  // large losses in all uses, without a tilt: about so many
constexpr double kMostCut = 42;                       // −log of the tilted mass of too many large losses
constexpr double kGroupSpan = 28;                     // standard deviations that a group's window is wide
constexpr double kWidestGroup = 400;                  // so that e^loss is a double
constexpr double kWideLoss = 8;       // deviations of a group: a loss that is rare, though it is not so seldom
constexpr double kFineEnough = 0.25;  // of a law's deviation: for a bound below
constexpr double kTells = 0.01;       // of the sum's deviation: a law that adds less may be told by less
constexpr double kSpare = 0.05;       // of the gap: what groups of unequal sides may cost

struct Plan {
  double fine, coarse;  // steps
  double group;         // uses
};

// Of losses, about 0, that are at most this large.
double deviation_up_to(const LossSketch& sketch, double most) {
  double sum = 0;
  for (size_t i = 0; i < sketch.mass.size(); ++i)
    if (std::abs(sketch.loss[i]) <= most) sum += sketch.mass[i] * sketch.loss[i] * sketch.loss[i];
  return std::sqrt(sum);
}

// Group and sum then have windows of about as many levels each. No grid is coarser than a bound below allows.
Plan plan_for(const std::vector<LawUses>& laws, Direction direction, const Steering& steering, double uses, double step,
              double tail) {
  const double deviation = steering.deviation / std::sqrt(uses);
  const double most = std::min(uses / 64, std::pow(kWidestGroup / (kGroupSpan * deviation), 2));
  const double balanced = std::clamp(steering.width / (kGroupSpan * deviation), 4.0, std::max(4.0, most));
  const double times = std::exp2(std::floor(0.5 * std::log2(balanced) + 0.25));
  double fine = step / std::sqrt(2.0);
  for (const LawUses& each : laws) {
    const double count = static_cast<double>(each.count);
    const double alone = deviation_up_to(each.law->sketch(direction, tail), each.law->span(kMostRare / count));
    if (alone * std::sqrt(count) > kTells * steering.deviation) fine = std::min(fine, kFineEnough * alone);
  }
  fine = fit_lattice(laws, fine, 0);
  return {fine, times * fine, times * times};
}

// Where a loss that comes so seldom may be far off its level: of large losses there are few.
double rare_step(const LossSketch& sketch, double theta, double from, double uses, const Plan& plan) {
  double all = 0, large = 0, top = from;
  for (size_t i = 0; i < sketch.mass.size(); ++i) {
    const double weight = sketch.mass[i] * std::exp(std::min(600.0, theta * sketch.loss[i]));
    all += weight;
    if (sketch.loss[i] > from) large += weight;
    top = std::max(top, sketch.loss[i]);
  }
  const double number = std::max(uses * large / all, 1e-3);
  // By the square in the middle, but at the lower end a bound below loses half a step.
  const double gap = plan.fine * plan.fine * uses * (theta + 1) / 2.25;
  const double step = std::min(0.3 * plan.fine * std::sqrt(uses / number), 0.1 * gap / number);
  return std::clamp(step, plan.coarse, std::max(plan.coarse, (top - from) / 64));
}

// Masses at their levels as cells of that loss, moved up by `more`.
LossCells cells_of(const LossAtoms& atoms, double factor, double more) {
  LossCells cells;
  for (size_t i = 0; i < atoms.mass.size(); ++i) {
    if (!(atoms.mass[i] > 0)) continue;
    const double loss = atoms.loss(i) + more;
    cells.p.push_back(atoms.mass[i] * factor);
    cells.q.push_back(atoms.mass[i] * factor * std::exp(-loss));
    cells.loss.push_back(loss);
  }
  cells.loss_error = 0;
  return cells;
}

struct Masses {
  double p = 0, apart = 0;  // P mass, and log of Q's ÷ P's
};

Masses masses(const LossAtoms& atoms) {
  double p = 0, q = 0;
  for (size_t i = 0; i < atoms.mass.size(); ++i) p += atoms.mass[i], q += atoms.mass[i] * std::exp(-atoms.loss(i));
  return {p, std::log(q / p)};
}

struct RareUses {
  BracketedLaw law;
  int64_t most;  // J
  LeftOut left_out;
};

// (δ_0 + L/|S|)^n of both sides.
std::optional<RareUses> rare_uses(const SplitLaw& split, double theta, double step, int64_t count) {
  const BracketedLaw &bulk = split.bulk, &rare = split.rare;
  const double n = static_cast<double>(count);
  const double levels = static_cast<double>(bulk.above.mass.size() + bulk.below.mass.size());
  const double unsure = bulk.mass_error + bulk.loss_error + 4 * kUnit * (levels + 8);
  const Masses above = masses(bulk.above), below = masses(bulk.below);
  const double least_above = above.p * (1 - unsure), most_below = below.p * (1 + unsure);
  if (!(least_above > 0.5 && below.p > 0.5)) return std::nullopt;
  const double apart_above = std::max(0.0, above.apart) + 2 * unsure;
  const double apart_below = std::max(0.0, below.apart) + 2 * unsure;
  RareUses found{};
  found.law.above = atoms_above(
      cells_of(rare.above, (1 + rare.mass_error) / least_above * (1 + 1e-15), rare.loss_error + apart_above), 0, step);
  found.law.above.at_infinity = rare.above.at_infinity / least_above * (1 + 1e-12);
  const LossCells under = cells_of(rare.below, (1 - rare.mass_error) / most_below * (1 - 1e-15), -rare.loss_error);
  found.law.below = atoms_below(under, 0, step);
  found.law.below.at_infinity = rare.below.at_infinity * (1 - 1e-12);
  found.law.mass_error = 16 * kUnit;
  // Of n uses j have a large loss with at most Poisson's probabilities, from their mean on.
  const double large = tilted_mass(found.law.below, theta);
  if (!(tilted_mass(found.law.above, theta) < 0.1)) return std::nullopt;
  const double mean = n * large / (1 + large) * (1 + 1e-9) + 1e-6;
  double most = std::max(2.0, std::ceil(2 * mean));
  while (most - mean + most * std::log(mean / most) > -kMostCut) most = std::ceil(1.1 * most + 1);
  if (most > 0.01 * n) return std::nullopt;
  found.most = static_cast<int64_t>(most);
  found.left_out = {std::exp(most - mean + most * std::log(mean / most)),
                    most * std::log(std::min(1.0, below.p * (1 - unsure))), most * apart_below};
  return found;
}

class Grouping {
 public:
  Grouping(Direction direction, const Steering& steering, const Plan& plan, double tail, double uses,
           const PldLimits& limits)
      : direction_(direction), steering_(steering), plan_(plan), tail_(tail), uses_(uses), limits_(limits) {}

  bool add(const LawUses& each) {
    const double n = static_cast<double>(each.count);
    if (n <= uses_ / plan_.group) {
      if (each.law->span(tail_) > static_cast<double>(limits_.most_levels - 16) * plan_.coarse) return false;
      found_.parts.push_back({each.law->on_grid(direction_, plan_.coarse, tail_, limits_.most_levels), each.count});
      return true;
    }
    LawPart bulk{{}, each.count};
    if (each.law->span(tail_) > kManyLevels * plan_.fine && !split(each, bulk)) return false;
    if (bulk.law.above.mass.empty()) {
      if (each.law->span(tail_) > static_cast<double>(limits_.most_levels - 16) * plan_.fine) return false;
      bulk.law = each.law->on_grid(direction_, plan_.fine, tail_, limits_.most_levels);
    }
    if (bulk.law.below.mass.empty()) return false;
    return group(bulk);
  }
  GroupedUses take() { return std::move(found_); }

 private:
  // Takes the rare losses away.
  bool split(const LawUses& each, LawPart& bulk) {
    const double n = static_cast<double>(each.count);
    const LossSketch sketch = each.law->sketch(direction_, tail_);
    std::optional<SplitLaw> parts;
    for (double rare = kLeastRare; !parts && rare <= kMostRare; rare *= 10) {
      const double from = each.law->span(rare / n);
      // Larger ones would make a group's window wide.
      if (from > kWideLoss * std::sqrt(plan_.group) * deviation_up_to(sketch, from) && rare < kMostRare) continue;
      const double large = rare_step(sketch, steering_.tilt.theta, from, n, plan_);
      parts = each.law->split(direction_, {plan_.fine, rare / n, large, tail_, limits_.most_levels});
    }
    if (!parts) return false;
    bulk.law = parts->bulk;
    if (parts->rare.above.mass.empty() && parts->rare.above.at_infinity == 0) return true;
    const auto rare = rare_uses(*parts, steering_.tilt.theta, plan_.coarse, each.count);
    if (!rare) return false;
    found_.parts.push_back({.law = rare->law, .count = each.count, .rare = true});
    bulk.left_out = rare->most;
    found_.left_out.tilted += rare->left_out.tilted;
    found_.left_out.log_factor += rare->left_out.log_factor;
    found_.left_out.loss += rare->left_out.loss;
    return true;
  }

  // Groups of equal size: above a few uses too many, below too few, which for whole laws are bounds; or, where that
  // costs too much or rare losses have been taken away, a smaller group for the rest.
  bool group(const LawPart& bulk) {
    const int64_t count = bulk.count, fewer = count - bulk.left_out;
    auto each = static_cast<int64_t>(plan_.group), groups = std::max(int64_t{1}, fewer / each);
    const bool even = bulk.left_out == 0 &&
                      static_cast<double>(2 * groups) <= kSpare * limits_.relative_gap * static_cast<double>(count);
    if (even) each = (count + groups - 1) / groups;
    const int64_t fewest = std::min(each, fewer / groups), rest = even ? 0 : count - each * groups;
    const GroupView view{steering_.tilt.theta, -std::log(tail_ * static_cast<double>(each)), plan_.coarse,
                         limits_.largest_transform};
    const auto whole = as_one_use({bulk.law, each, each - fewest}, view);
    if (!whole || whole->below.mass.empty()) return false;
    found_.parts.push_back({*whole, groups});
    if (rest <= 0) return true;
    const auto last = as_one_use({bulk.law, rest, std::min(rest, bulk.left_out)}, view);
    if (!last || last->below.mass.empty()) return false;
    found_.parts.push_back({*last, 1});
    return true;
  }

  Direction direction_;
  const Steering& steering_;
  const Plan& plan_;
  double tail_, uses_;
  const PldLimits& limits_;
  GroupedUses found_;
};

}  // namespace

std::optional<GroupedUses> in_groups(const std::vector<LawUses>& uses, Direction direction, const Steering& steering,
                                     double step, double tail, const PldLimits& limits) {
  const double all = total_uses(uses);
  const Plan plan = plan_for(uses, direction, steering, all, step, tail);
  Grouping grouping(direction, steering, plan, tail, all, limits);
  for (const LawUses& each : uses)
    if (!grouping.add(each)) return std::nullopt;
  return grouping.take();
}

}  // namespace sotto::accountants
