#include "accountants/pld/solve.h"

#include <algorithm>
#include <cmath>

#include "accountants/pld/composed_law.h"
#include "accountants/pld/grid_choice.h"
#include "accountants/pld/grouped_uses.h"
#include "accountants/pld/numerics.h"
#include "accountants/pld/steering.h"

namespace sotto::accountants {
namespace {

struct Question {
  double delta, epsilon;  // one of them is given, the other negative
  bool asks_epsilon() const { return delta >= 0; }
};

Steering steer(const std::vector<LawUses>& uses, Direction direction, const Question& question,
               const PldLimits& limits) {
  const double tail = 14 - std::log(limits.relative_gap);
  const auto sketches = [&](double log_delta) {
    std::vector<SketchedUses> found;
    const double cut = tail_mass(total_uses(uses), log_delta, limits);
    for (const auto& each : uses) found.push_back({each.law->sketch(direction, cut), static_cast<double>(each.count)});
    return found;
  };
  if (question.asks_epsilon()) return steer_to_delta(sketches(std::log(question.delta)), question.delta, tail);
  // What the tails may be depends on the answer: a sketch that ends above it leaves out what decides. Down a ladder
  // until none does, and once more from what was found.
  constexpr double kLeastLogDelta = -708;
  double log_delta = -20;
  Steering steering{};
  for (bool settled = false; !settled || steering.log_delta > log_delta + 2;) {
    if (settled) log_delta = steering.log_delta;
    const Steering found = steer_to_epsilon(sketches(log_delta), question.epsilon, tail);
    if (settled && !found.found) break;
    settled = settled || (found.found && found.log_delta >= log_delta);
    steering = found;
    if (settled) continue;
    if (log_delta <= kLeastLogDelta) break;
    log_delta = std::max(kLeastLogDelta, found.found ? std::min(found.log_delta, log_delta - 5) : 2 * log_delta);
  }
  return steering;
}

Bracket ask(const ComposedLaw& composed, const Question& question) {
  if (question.asks_epsilon()) return {composed.epsilon_below(question.delta), composed.epsilon_above(question.delta)};
  return {composed.delta_below(question.epsilon), composed.delta_above(question.epsilon)};
}

// On one grid for all.
std::optional<Bracket> ask(const std::vector<LawUses>& uses, Direction direction, const Question& question,
                           const Steering& steering, double step, const PldLimits& limits) {
  const double tail = tail_mass(total_uses(uses), steering.log_delta, limits);
  std::vector<LawPart> parts;
  for (const auto& each : uses)
    parts.push_back({each.law->on_grid(direction, step, tail, limits.most_levels), each.count});
  return ask(ComposedLaw(parts, steering.tilt, limits.largest_transform), question);
}

// In groups, which may have a finer grid.
std::optional<Bracket> ask_groups(const std::vector<LawUses>& uses, Direction direction, const Question& question,
                                  const Steering& steering, double step, const PldLimits& limits) {
  const double tail = tail_mass(total_uses(uses), steering.log_delta, limits);
  const auto groups = in_groups(uses, direction, steering, step, tail, limits);
  if (!groups) return std::nullopt;
  return ask(ComposedLaw(groups->parts, steering.tilt, limits.largest_transform, groups->left_out), question);
}

double most_loss(const std::vector<LawUses>& uses, Direction direction) {
  double most = 0;
  for (const auto& each : uses) most += static_cast<double>(each.count) * each.law->most_loss(direction);
  return most * (1 + 1e-12);
}

// Where all losses are 0: δ is the probability that a use tells all, at every ε.
Bracket disclosure(const std::vector<LawUses>& uses, const Question& question) {
  double untold = 0;
  for (const auto& each : uses) untold += static_cast<double>(each.count) * std::log1p(-each.law->at_infinity());
  const double lower = -std::expm1(untold) * (1 - 1e-12), upper = std::min(1.0, -std::expm1(untold) * (1 + 1e-12));
  if (!question.asks_epsilon()) return {lower, upper};
  return {question.delta < lower ? kInfinity : 0, question.delta < upper ? kInfinity : 0};
}

// Refines until the bracket is as narrow as asked, or its upper end is at most `enough`: then another direction
// decides.
Bracket solve(const std::vector<LawUses>& uses, Direction direction, const Question& question, const PldLimits& limits,
              double enough) {
  const double most = most_loss(uses, direction);
  if (!question.asks_epsilon() && question.epsilon >= most) return {0, 0};
  if (question.asks_epsilon() && most <= enough) return {0, most};
  if (std::all_of(uses.begin(), uses.end(), [](const LawUses& each) { return each.law->span(1e-3) == 0; }))
    return disclosure(uses, question);
  Bracket best{0, question.asks_epsilon() ? most : 1};
  const Steering steering = steer(uses, direction, question, limits);
  if (!steering.found) return best;
  const double theta = steering.tilt.theta, tail = tail_mass(total_uses(uses), steering.log_delta, limits);
  double widest = 0;
  for (const auto& each : uses) widest = std::max(widest, each.law->span(tail));
  const double finest = std::max(widest / static_cast<double>(limits.most_levels - 16),
                                 1.02 * steering.width / static_cast<double>(limits.largest_transform));
  const double epsilon_gap =
      limits.relative_gap *
      (question.asks_epsilon() ? std::max(steering.epsilon, 0.1 * steering.deviation) : 1 / std::max(theta, 1e-3));
  // The other direction decides: this one only has to stay below it, by however much it seems to.
  const double spare = question.asks_epsilon() ? 0.3 * (enough - steering.epsilon) : 0;
  const double first_gap = enough > 0 ? std::max(16 / 4.5 * epsilon_gap, spare) : epsilon_gap;
  const double first_step = step_for(first_gap, total_uses(uses), theta);
  // Groups may have finer grids, and of very many uses, where one grid would be long, they are faster.
  constexpr double kLongGrid = 1 << 16, kSomeUses = 4096, kManyUses = 1e5;
  const double count = total_uses(uses);
  bool in_groups = count >= kSomeUses;
  const double group_below = count < kManyUses ? finest : std::max(finest, steering.width / kLongGrid);
  const double coarsest = std::max(finest, 0.25 * steering.deviation);
  const auto fitting = [&](double wanted) {
    return in_groups && wanted < group_below ? wanted : fit_lattice(uses, std::max(finest, wanted), finest);
  };
  double step = fitting(std::min(first_step, coarsest)), previous = kInfinity;
  constexpr int kCoarseRounds = 3;  // until steps are fine enough for any lower bound
  for (int round = 0; round < 8; ++round) {
    const bool grouped = in_groups && step < group_below;
    const auto found = grouped ? ask_groups(uses, direction, question, steering, step, limits)
                               : ask(uses, direction, question, steering, step, limits);
    if (!found) {
      in_groups = false;
      step = fitting(step);
      continue;
    }
    best = {std::max(best.lower, found->lower), std::min(best.upper, found->upper)};
    if (std::isinf(best.lower)) break;
    const double width = best.upper - best.lower, wanted = limits.relative_gap * best.upper;
    if ((std::isfinite(width) && width <= wanted) || best.upper <= enough || (!in_groups && step <= finest)) break;
    // Another step would not help: a part is known from above alone, or all are.
    if (width > 0.9 * previous && (best.lower > 0 || round >= kCoarseRounds)) {
      if (!grouped) break;
      in_groups = false;  // where their sums' tails are lost in rounding, one grid may do
    }
    previous = width;
    const double ratio = std::isfinite(width) ? std::sqrt(0.6 * wanted / width) : 0;
    step = fitting(step * std::clamp(ratio, 0.125, 0.7));
  }
  if (std::isinf(best.upper)) {  // so many uses that the rounding of large transforms is too much
    best.upper = std::min(best.upper, ask(uses, direction, question, steering, coarsest, limits)->upper);
  }
  return best;
}

Bracket worse(const std::vector<LawUses>& uses, const Question& question, const PldLimits& limits) {
  const Bracket remove = solve(uses, Direction::remove, question, limits, 0);
  const Bracket add = solve(uses, Direction::add, question, limits, remove.lower);
  return {std::max(remove.lower, add.lower), std::max(remove.upper, add.upper)};
}

}  // namespace

Bracket epsilon_bracket(const std::vector<LawUses>& uses, double delta, const PldLimits& limits) {
  return worse(uses, {delta, -1}, limits);
}

Bracket delta_bracket(const std::vector<LawUses>& uses, double epsilon, const PldLimits& limits) {
  return worse(uses, {-1, epsilon}, limits);
}

double most_loss(const std::vector<LawUses>& uses) {
  return std::max(most_loss(uses, Direction::remove), most_loss(uses, Direction::add));
}

}  // namespace sotto::accountants
