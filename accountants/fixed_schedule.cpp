#include "accountants/fixed_schedule.h"

#include <algorithm>
#include <memory>

#include "accountants/accountant.h"
#include "accountants/calibrate.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

std::unique_ptr<Accountant> composed(const FixedSchedule& schedule, const Accounting& accounting) {
  auto accountant = make_fixed_schedule_accountant(accounting.accountant, schedule.relation(), accounting.relative_gap);
  compose(*accountant, schedule.parts());
  return accountant;
}

}  // namespace

FixedSchedule::FixedSchedule(NeighbouringRelation relation, EventList parts)
    : relation_(relation), parts_(std::move(parts)) {
  constexpr int64_t kMost = int64_t{1} << 53;
  for (const EventUses& part : parts_) {
    validate(part.event);
    require(part.count >= 0 && part.count <= kMost - steps_, "a schedule has between 0 and 2^53 steps, this one ",
            part.count, " more than ", steps_);
    steps_ += part.count;
  }
}

FixedSchedule FixedSchedule::first(int64_t steps) const {
  require(steps >= 0 && steps <= steps_, "the schedule has ", steps_, " steps; cannot take its first ", steps);
  EventList parts;
  for (const EventUses& part : parts_) {
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

StepsThatFit steps_that_fit(const FixedSchedule& schedule, double budget, double delta, const std::string& accountant) {
  StepsThatFit found{0, {0, 0}, 0, {0, 0}};
  if (schedule.steps() == 0) return found;
  Parameter steps{1, static_cast<double>(schedule.steps()), {}};
  steps.whole = true;
  steps.plan = [&](double count) { return schedule.first(static_cast<int64_t>(count)).parts(); };
  const Calibration answer = calibrate({budget, delta, accountant, schedule.relation()}, steps);
  if (answer.fits) found.steps = static_cast<int64_t>(answer.fits->value), found.epsilon = answer.fits->epsilon;
  if (answer.fails && answer.fails->epsilon.lower > budget)
    found.too_many = static_cast<int64_t>(answer.fails->value), found.epsilon_of_too_many = answer.fails->epsilon;
  return found;
}

}  // namespace sotto::accountants
