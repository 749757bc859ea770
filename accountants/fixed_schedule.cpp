#include "accountants/fixed_schedule.h"

#include <algorithm>
#include <cmath>

#include "accountants/accountant.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kNarrowestGap = 1e-6;

std::unique_ptr<Accountant> composed(const FixedSchedule& schedule, const Accounting& accounting) {
  auto accountant = make_fixed_schedule_accountant(accounting.accountant, schedule.relation(), accounting.relative_gap);
  for (const auto& part : schedule.parts()) accountant->compose(part.event, part.count);
  return accountant;
}

}  // namespace

FixedSchedule::FixedSchedule(NeighbouringRelation relation, std::vector<Part> parts)
    : relation_(relation), parts_(std::move(parts)) {
  constexpr int64_t kMost = int64_t{1} << 53;
  for (const Part& part : parts_) {
    validate(part.event);
    require(part.count >= 0 && part.count <= kMost - steps_, "a schedule has between 0 and 2^53 steps, this one ",
            part.count, " more than ", steps_);
    steps_ += part.count;
  }
}

FixedSchedule FixedSchedule::first(int64_t steps) const {
  require(steps >= 0 && steps <= steps_, "the schedule has ", steps_, " steps; cannot take its first ", steps);
  std::vector<Part> parts;
  for (const Part& part : parts_) {
    const int64_t count = std::min(part.count, steps);
    steps -= count;
    if (count > 0) parts.push_back({part.event, count});
  }
  return FixedSchedule(relation_, std::move(parts));
}

Bracket FixedSchedule::epsilon(double delta, const Accounting& accounting) const {
  return composed(*this, accounting)->epsilon_bracket(delta);
}

Bracket FixedSchedule::delta(double epsilon, const Accounting& accounting) const {
  return composed(*this, accounting)->delta_bracket(epsilon);
}

StepsThatFit steps_that_fit(const FixedSchedule& schedule, double budget, double delta, const Accounting& accounting) {
  require(budget > 0, "the budget must be above 0, got ", budget);
  require(delta > 0 && delta < 1, "delta must be above 0 and below 1, got ", delta);
  StepsThatFit found{0, {0, 0}, 0, {0, 0}};
  const int64_t beyond = schedule.steps() + 1;
  Accounting asked = accounting;
  // Between the largest number known to fit and the least known not to, what is left is undecided at this gap.
  const auto settle = [&](int64_t steps) {
    const Bracket epsilon = schedule.first(steps).epsilon(delta, asked);
    if (epsilon.upper <= budget && steps > found.steps) found.steps = steps, found.epsilon = epsilon;
    if (epsilon.lower > budget && (found.too_many == 0 || steps < found.too_many))
      found.too_many = steps, found.epsilon_of_too_many = epsilon;
    return epsilon;
  };
  const auto too_many = [&] { return found.too_many == 0 ? beyond : found.too_many; };
  for (;; asked.relative_gap = std::max(asked.relative_gap / 30, kNarrowestGap)) {
    for (int64_t open = too_many(); open - found.steps > 1;) {
      const int64_t middle = found.steps + (open - found.steps) / 2;
      if (!(settle(middle).upper <= budget)) open = middle;
    }
    for (int64_t open = found.steps, end = too_many(); end - open > 1; end = too_many()) {
      const int64_t middle = open + (end - open) / 2;
      if (!(settle(middle).lower > budget)) open = middle;
    }
    if (too_many() - found.steps <= 1 || asked.relative_gap <= kNarrowestGap || found.steps == schedule.steps())
      return found;
  }
}

}  // namespace sotto::accountants
