// The right ways, which compile: what fails in wrong_budget.cpp fails for the reasons given there.
#include "accountants/adaptive_filter.h"
#include "accountants/fixed_schedule.h"

namespace sotto::accountants {

bool chosen_on_the_way(const Event& event) {
  AdaptiveFilter filter(RdpBudget::holding(2, 1e-5), NeighbouringRelation::add_remove);
  return filter.try_charge(event);
}

int64_t fixed_in_advance(const Event& event) {
  const FixedSchedule schedule(NeighbouringRelation::add_remove, {{event, 1000}});
  return steps_that_fit(schedule, 2, 1e-5).steps;
}

}  // namespace sotto::accountants
