#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "accountants/fixed_schedule.h"
#include "accountants/pld/pld_accountant.h"
#include "accountants/pld/running_sum.h"

namespace sotto::accountants {

// Whether the uses so far of a schedule that was fixed in advance, in any order, keep (epsilon, delta), asked after
// each: by a running spectrum (running_sum.h) in microseconds, and by PldAccountant's brackets, narrowed to 1e-6, for
// the few uses near the budget where that cannot tell. Of a schedule it takes no more than what is in it; like it, it
// cannot limit choices that depend on results.
class RunningCheck {
 public:
  // Throws configuration where "pld" has no bound for an event, invalid_argument unless epsilon ≥ 0 is finite and 0 <
  // delta < 1.
  RunningCheck(const FixedSchedule& schedule, double epsilon, double delta, PldLimits limits = {});

  // Takes `count` more uses of schedule.parts()[part] and says whether all so far still keep the budget: true is
  // proved. After the first false it stays false. Throws invalid_argument beyond what the schedule has of the part.
  bool take(size_t part, int64_t count = 1);

  // δ at epsilon of all so far; {0, 1} where the running spectra know nothing.
  Bracket delta() const;
  const EventList& taken() const { return taken_; }
  int64_t full_brackets() const { return full_brackets_; }  // that were needed

 private:
  bool full_bracket_holds();

  FixedSchedule schedule_;
  double epsilon_, delta_;
  PldLimits limits_;
  EventList taken_;
  std::vector<RunningSum> sums_;  // one a direction; empty where the schedule has no grid
  bool holds_ = true;
  int64_t full_brackets_ = 0;
};

}  // namespace sotto::accountants
