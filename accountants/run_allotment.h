#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "accountants/fixed_schedule.h"

namespace sotto::accountants {

// Those that may limit a run: accountant_names(), which may limit anything, and "pld", for the run as it was reserved.
std::vector<std::string> run_accountant_names();

// The most that a run may spend, and who says so: a name in run_accountant_names().
struct Allowance {
  double epsilon, delta;
  std::string accountant;
};

// The proof that a run could not have been given more: its first `steps` steps are known to cost at least
// epsilon_lower, which is above the allowance.
struct RefusedSteps {
  int64_t steps;
  double epsilon_lower;
  bool operator==(const RefusedSteps&) const = default;
};

// The first steps() steps of a plan, set aside before the first one runs: what limits a run. Made from a FixedSchedule
// and from nothing that can still be added to; the number of steps is found once, from public figures, and never
// changes. So to end at step steps() is to keep to a schedule fixed in advance, and privacy loss distributions may say
// where that is. (To end earlier because of a look at results is adaptive: then the allowance is what holds.)
class RunAllotment {
 public:
  // As many steps as the allowance pays for, at most all; 0 where it pays for none. Throws configuration for an unknown
  // accountant, an event that it has no bound for, and unless 0 < epsilon < ∞ and 0 < delta < 1.
  RunAllotment(const FixedSchedule& plan, Allowance allowance);
  // `steps` of them, as a ledger has it.
  RunAllotment(const FixedSchedule& plan, Allowance allowance, int64_t steps);

  int64_t steps() const { return steps_; }
  const Allowance& allowance() const { return allowance_; }
  // Of a new allotment that is less than its plan, by an accountant with lower bounds: the smallest number of steps
  // known to be too many; steps() + 1 wherever brackets can tell the two apart.
  const std::optional<RefusedSteps>& refused() const { return refused_; }

  // What the first `steps` ≤ plan.steps() steps cost, never less than the truth; never falls as steps grow. By "pld" it
  // is rounded up along the ladder 1, 2, …, 8, 10, 12, 14, 16, 20, … of step counts: the first call finds all rungs
  // (some milliseconds each), later ones cost nothing. At steps() it is exact up to the bracket, and at most the
  // allowance.
  double epsilon(int64_t steps) const;

  // Whether an honest program may have said that `steps` steps cost `epsilon`. By "pld" another machine's rounding may
  // lead to another grid: then it must be no less than the cost is certified to be, and no more than the gap of the
  // ladder's brackets above what is found here.
  bool may_be(int64_t steps, double epsilon) const;
  // Whether the proof holds: that many steps cost more than the allowance, and no less than it says.
  bool proves(const RefusedSteps& refused) const;

 private:
  bool exact_at_each_step() const { return allowance_.accountant != "pld"; }
  Bracket bracket(int64_t steps, double relative_gap) const;
  double narrowed(int64_t steps) const;
  void climb() const;
  using Rung = std::pair<int64_t, double>;   // steps and their ε
  const Rung& rung_at(int64_t steps) const;  // the lowest that is no lower, of 1 ≤ steps ≤ steps()

  FixedSchedule plan_;
  Allowance allowance_;
  int64_t steps_ = 0;
  std::optional<RefusedSteps> refused_;
  mutable std::vector<Rung> rungs_;  // up to steps()
};

}  // namespace sotto::accountants
