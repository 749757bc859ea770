#include "accountants/fixed_schedule.h"

#include <gtest/gtest.h>

#include <cmath>

#include "accountants/accountant.h"
#include "base/error.h"
#include "tests/accountants/reference.h"

namespace sotto::accountants {
namespace {

constexpr auto kAddRemove = NeighbouringRelation::add_remove;

Event sampled(double noise_multiplier, double sample_rate) {
  return {PoissonSampledGaussian{noise_multiplier, sample_rate}};
}

TEST(StepsThatFit, StopsWhereTheReferenceDoesAndProvesThatTheNextStepIsTooMany) {
  const auto cases = reference_cases("stop_at_budget");
  ASSERT_GE(cases.size(), 3u);
  for (const auto& each : cases) {
    const auto& p = each["params"];
    const double budget = p["budget_epsilon"], delta = p["delta"];
    const FixedSchedule schedule(kAddRemove, {{sampled(p["sigma"], p["q"]), 100'000}});
    const StepsThatFit found = steps_that_fit(schedule, budget, delta);
    EXPECT_GE(found.steps, each["lower"].get<int64_t>()) << each;
    EXPECT_LE(found.steps, each["upper"].get<int64_t>()) << each;
    EXPECT_LE(found.epsilon.upper, budget);
    EXPECT_EQ(found.too_many, found.steps + 1) << each;
    EXPECT_GT(found.epsilon_of_too_many.lower, budget);
  }
}

TEST(StepsThatFit, AnAccountantWithoutLowerBoundsProvesNothingTooMany) {
  const FixedSchedule schedule(kAddRemove, {{sampled(1, 0.01), 10'000}});
  const StepsThatFit found = steps_that_fit(schedule, 2, 1e-5, "rdp");
  EXPECT_EQ(found.steps, 881) << "what the peer's RDP stops at";
  EXPECT_EQ(found.too_many, 0);
}

TEST(StepsThatFit, AllOfItOrNothing) {
  const FixedSchedule schedule(kAddRemove, {{sampled(1, 0.01), 500}, {{Gaussian{30}}, 1}});
  EXPECT_EQ(steps_that_fit(schedule, 8, 1e-5).steps, 501);
  EXPECT_EQ(steps_that_fit(schedule, 8, 1e-5).too_many, 0);
  const FixedSchedule loud(kAddRemove, {{{Gaussian{0.5}}, 10}});
  const StepsThatFit found = steps_that_fit(loud, 1, 1e-5);
  EXPECT_EQ(found.steps, 0);
  EXPECT_EQ(found.too_many, 1);
  EXPECT_EQ(steps_that_fit(FixedSchedule(kAddRemove, {}), 1, 1e-5).steps, 0);
}

TEST(StepsThatFit, CountsThroughTheParts) {
  // μ² = 25/100 + n/64 for n ≤ 100: ε = 4.3771780956812245 at δ = 1e-5 is μ = 1 (mpmath), so n = 48.
  const FixedSchedule schedule(kAddRemove, {{{Gaussian{10}}, 25}, {{Gaussian{8}}, 100}});
  const StepsThatFit found = steps_that_fit(schedule, 4.3771780956812245 * (1 + 1e-8), 1e-5);
  EXPECT_EQ(found.steps, 25 + 48);
  EXPECT_EQ(found.too_many, 25 + 49);
}

TEST(FixedSchedule, AnyAccountantAnswersForIt) {
  const FixedSchedule schedule(kAddRemove, {{sampled(1, 0.01), 9'000}, {sampled(1, 0.01), 1'000}});
  EXPECT_EQ(schedule.steps(), 10'000);
  const Bracket pld = schedule.epsilon(1e-5), rdp = schedule.epsilon(1e-5, {.accountant = "rdp"});
  EXPECT_LE(pld.lower, 6.187725128767527);
  EXPECT_GE(pld.upper, 6.187706012450638);
  EXPECT_LE(pld.upper, pld.lower * (1 + 1.1e-3));
  EXPECT_GT(rdp.upper, 6.7);
  EXPECT_EQ(schedule.first(9'500).epsilon(1e-5, {.accountant = "rdp"}).upper,
            FixedSchedule(kAddRemove, {{sampled(1, 0.01), 9'500}}).epsilon(1e-5, {.accountant = "rdp"}).upper);
  EXPECT_LE(schedule.delta(6.187725128767527).lower, 1e-5);
}

TEST(FixedSchedule, BadOnesAreNamed) {
  EXPECT_THROW(FixedSchedule(kAddRemove, {{sampled(-1, 0.1), 1}}), Error);
  EXPECT_THROW(FixedSchedule(kAddRemove, {{sampled(1, 0.1), -1}}), Error);
  EXPECT_THROW(FixedSchedule(kAddRemove, {{sampled(1, 0.1), int64_t{1} << 53}, {sampled(2, 0.1), 1}}), Error);
  const FixedSchedule schedule(kAddRemove, {{sampled(1, 0.1), 10}});
  EXPECT_THROW(schedule.first(11), Error);
  EXPECT_THROW(schedule.first(-1), Error);
  EXPECT_THROW(schedule.epsilon(1e-5, {.accountant = "moments"}), Error);
  EXPECT_THROW(schedule.epsilon(1), Error);
  EXPECT_THROW(steps_that_fit(schedule, 0, 1e-5), Error);
  EXPECT_THROW(steps_that_fit(schedule, NAN, 1e-5), Error);
  EXPECT_THROW(steps_that_fit(schedule, 1, 0), Error);
}

}  // namespace
}  // namespace sotto::accountants
