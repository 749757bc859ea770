#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "accountants/bracket.h"
#include "accountants/event_list.h"

namespace sotto::accountants {

// How a schedule is accounted: a name in fixed_schedule_accountant_names() and the bracket's relative gap to aim at.
struct Accounting {
  std::string accountant = "pld";
  double relative_gap = 1e-3;
};

// The gaps to ask for, one after the other, until a bracket is on one side of a budget.
inline constexpr double kNarrowingGaps[] = {1e-3, 1e-4, 1e-5, 1e-6};

// Mechanisms and how often each is used, in order, complete before the first one runs: nothing in it depends on what a
// mechanism releases. For that case every accountant is valid, privacy loss distributions included, and this type is
// where they are asked. It cannot be added to: who decides on the way needs an AdaptiveFilter, which cannot be made
// from this.
class FixedSchedule {
 public:
  // Throws configuration when an event is invalid, invalid_argument unless each count is at least 0 and all together at
  // most 2^53.
  FixedSchedule(NeighbouringRelation relation, EventList parts);

  NeighbouringRelation relation() const { return relation_; }
  const EventList& parts() const { return parts_; }
  int64_t steps() const { return steps_; }

  // Its first `steps` steps, 0 ≤ steps ≤ steps().
  FixedSchedule first(int64_t steps) const;

  // As Accountant's brackets. Throw configuration when the accountant has no bound for one of the events.
  Bracket epsilon(double delta, const Accounting& accounting = {}) const;
  Bracket delta(double epsilon, const Accounting& accounting = {}) const;

 private:
  NeighbouringRelation relation_;
  EventList parts_;
  int64_t steps_ = 0;
};

// How many steps of a schedule a budget pays for, with the proof for both sides: the first `steps` cost at most the
// budget (epsilon.upper ≤ budget), and the first `too_many` are known to cost more (epsilon_of_too_many.lower >
// budget). Where too_many = steps + 1 nothing better exists; where the accountant's bracket cannot separate them it is
// larger, and 0 where nothing shows that any number is too many (the whole schedule fits, or there are no lower
// bounds).
struct StepsThatFit {
  int64_t steps;
  Bracket epsilon;
  int64_t too_many;
  Bracket epsilon_of_too_many;
};

// By calibrate(), which narrows brackets only near the budget. Throws configuration unless budget is finite and above 0
// and 0 < delta < 1, and where the accountant has no bound for one of the events.
StepsThatFit steps_that_fit(const FixedSchedule& schedule, double budget, double delta,
                            const std::string& accountant = "pld");

}  // namespace sotto::accountants
