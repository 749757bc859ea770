// Ways to limit choices made on the way by a bound that holds for a schedule fixed in advance. The compiler must refuse
// each, in the line above its "expect" and with that message.
#include "accountants/adaptive_filter.h"
#include "accountants/fixed_schedule.h"
#include "accountants/pld/pld_accountant.h"
#include "accountants/run_allotment.h"

namespace sotto::accountants {

constexpr auto kRelation = NeighbouringRelation::add_remove;

void filter_of_a_privacy_loss_distribution(const PldAccountant& running) {
  AdaptiveFilter filter(running, kRelation);
  // expect: no matching function for call to .*AdaptiveFilter::AdaptiveFilter\(const .*PldAccountant&
}

void filter_of_a_schedule(const FixedSchedule& schedule) {
  AdaptiveFilter filter(schedule, kRelation);
  // expect: no matching function for call to .*AdaptiveFilter::AdaptiveFilter\(const .*FixedSchedule&
}

void filter_of_a_running_epsilon(const PldAccountant& running) {
  AdaptiveFilter filter(running.epsilon_bracket(1e-5), kRelation);
  // expect: no matching function for call to .*AdaptiveFilter::AdaptiveFilter\(.*Bracket
}

void schedule_that_grows(FixedSchedule& schedule, const Event& chosen_after_a_look) {
  schedule.compose(chosen_after_a_look);
  // expect: FixedSchedule.* has no member named .compose.
}

void schedule_that_is_charged(FixedSchedule& schedule, const Event& chosen_after_a_look) {
  schedule.try_charge(chosen_after_a_look);
  // expect: FixedSchedule.* has no member named .try_charge.
}

int64_t steps_of_a_filter(const AdaptiveFilter& filter) {
  return steps_that_fit(filter, 2, 1e-5).steps;
  // expect: invalid initialization of reference of type .const .*FixedSchedule&. from expression of type .const
  // .*AdaptiveFilter.
}

void run_limited_by_a_filters_choices(const AdaptiveFilter& filter) {
  RunAllotment allotment(filter, {2, 1e-5, "pld"});
  // expect: no matching function for call to .*RunAllotment::RunAllotment\(const .*AdaptiveFilter&
}

void run_limited_by_what_was_composed_so_far(const PldAccountant& running) {
  RunAllotment allotment(running, {2, 1e-5, "pld"});
  // expect: no matching function for call to .*RunAllotment::RunAllotment\(const .*PldAccountant&
}

void filter_of_a_run(const RunAllotment& allotment) {
  AdaptiveFilter filter(allotment, kRelation);
  // expect: no matching function for call to .*AdaptiveFilter::AdaptiveFilter\(const .*RunAllotment&
}

void run_that_is_charged_something_else(RunAllotment& allotment, const Event& chosen_after_a_look) {
  allotment.try_charge(chosen_after_a_look);
  // expect: RunAllotment.* has no member named .try_charge.
}

void budget_spent_twice(const AdaptiveFilter& filter) {
  AdaptiveFilter second = filter;
  // expect: use of deleted function .*AdaptiveFilter::AdaptiveFilter\(const
}

}  // namespace sotto::accountants
