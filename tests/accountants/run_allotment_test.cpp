#include "accountants/run_allotment.h"

#include <gtest/gtest.h>

#include <cmath>

#include "accountants/accountant.h"
#include "accountants/calibrate.h"
#include "base/error.h"
#include "tests/accountants/reference.h"

namespace sotto::accountants {
namespace {

constexpr auto kAddRemove = NeighbouringRelation::add_remove;

FixedSchedule plan(double noise_multiplier, double sample_rate, int64_t steps) {
  return FixedSchedule(kAddRemove, {{{PoissonSampledGaussian{noise_multiplier, sample_rate}}, steps}});
}

double at(int64_t steps, const std::string& accountant, double gap = 1e-5) {
  return plan(1, 0.01, steps).epsilon(1e-5, {accountant, gap}).upper;
}

TEST(RunAllotment, StopsWhereTheReferenceDoesAndProvesTheNextStepTooMany) {
  const auto cases = reference_cases("stop_at_budget");
  ASSERT_GE(cases.size(), 3u);
  for (const auto& each : cases) {
    const auto& p = each["params"];
    const double budget = p["budget_epsilon"];
    const RunAllotment found(plan(p["sigma"], p["q"], 100'000), {budget, p["delta"], "pld"});
    EXPECT_GE(found.steps(), each["lower"].get<int64_t>()) << each;
    EXPECT_LE(found.steps(), each["upper"].get<int64_t>()) << each;
    EXPECT_LE(found.epsilon(found.steps()), budget) << each;
    ASSERT_TRUE(found.refused()) << each;
    EXPECT_EQ(found.refused()->steps, found.steps() + 1) << each;
    EXPECT_GT(found.refused()->epsilon_lower, budget) << each;
    EXPECT_TRUE(found.proves(*found.refused())) << each;
  }
}

TEST(RunAllotment, OtherAccountantsStopWhereTheirEpsilonPassesTheAllowance) {
  const RunAllotment found(plan(1, 0.01, 10'000), {2, 1e-5, "rdp"});
  EXPECT_EQ(found.steps(), 881) << "what the peer's RDP stops at";
  EXPECT_FALSE(found.refused()) << "RDP has no lower bounds";
  EXPECT_LE(found.epsilon(881), 2);
  EXPECT_GT(found.epsilon(882), 2);
  EXPECT_EQ(found.epsilon(500), at(500, "rdp")) << "each step has its own";
}

TEST(RunAllotment, APlanThatFitsIsSetAsideWhole) {
  for (const char* accountant : {"rdp", "pld"}) {
    const RunAllotment found(plan(1, 0.01, 800), {2, 1e-5, accountant});
    EXPECT_EQ(found.steps(), 800) << accountant;
    EXPECT_FALSE(found.refused()) << accountant;
  }
  EXPECT_EQ(RunAllotment(plan(0.3, 1, 5), {1, 1e-5, "pld"}).steps(), 0);
}

// A narrow bracket's end, at(), is at most 1e-5 above the truth.
TEST(RunAllotment, WhatIsSaidOnTheWayNeverFallsAndIsNeverTooLittleNorAnOctaveQuarterTooMuch) {
  const RunAllotment found(plan(1, 0.01, 100'000), {2, 1e-5, "pld"});
  ASSERT_EQ(found.steps(), 1202);
  double last = 0;
  for (int64_t steps = 1; steps <= 1202; ++steps) {
    const double said = found.epsilon(steps);
    EXPECT_GE(said, last) << steps;
    EXPECT_LE(said, 2) << steps;
    if (steps % 97 == 1 || steps < 20 || steps > 1195) {
      EXPECT_GE(said, at(steps, "pld") * (1 - 1e-5)) << steps;
      EXPECT_LE(said, at(std::min<int64_t>(1202, steps + steps / 4 + 1), "pld") * 1.01) << steps;
    }
    last = said;
  }
  EXPECT_EQ(found.epsilon(0), 0);
  EXPECT_GT(found.epsilon(1203), 2) << "beyond what is set aside";
}

TEST(RunAllotment, ALaterProgramFindsTheSameFromTheNumberOfSteps) {
  const RunAllotment made(plan(1, 0.01, 100'000), {2, 1e-5, "pld"}),
      read(plan(1, 0.01, 100'000), {2, 1e-5, "pld"}, 1202);
  for (const int64_t steps : {1, 7, 100, 1000, 1202}) EXPECT_EQ(read.epsilon(steps), made.epsilon(steps)) << steps;
}

TEST(RunAllotment, AnotherMachinesLastDigitsAreTakenAndTooSmallAnEpsilonIsNot) {
  const RunAllotment found(plan(1, 0.01, 100'000), {2, 1e-5, "pld"}, 1202);
  for (const int64_t steps : {10, 1000, 1202}) {
    const double said = found.epsilon(steps);
    EXPECT_TRUE(found.may_be(steps, said * (1 + 1e-12)));
    EXPECT_TRUE(found.may_be(steps, said * (1 - 1e-12)));
    EXPECT_TRUE(found.may_be(steps, said * (1 + 1e-3))) << "another grid";
    EXPECT_FALSE(found.may_be(steps, said * 1.02));
    EXPECT_FALSE(found.may_be(steps, said * 0.99)) << "less than it is certified to cost";
    EXPECT_FALSE(found.may_be(steps, NAN));
  }
  EXPECT_TRUE(found.may_be(1202, at(1202, "pld", 1e-5)));
  EXPECT_FALSE(found.may_be(1202, at(1201, "pld", 1e-5))) << "a step too few";
}

TEST(RunAllotment, AProofIsHeldToWhatTheStepsCost) {
  const RunAllotment found(plan(1, 0.01, 100'000), {2, 1e-5, "pld"});
  const RefusedSteps proof = *found.refused();
  EXPECT_TRUE(found.proves(proof));
  EXPECT_FALSE(found.proves({1202, proof.epsilon_lower})) << "these fit";
  EXPECT_FALSE(found.proves({1203, 2.0})) << "no more than the allowance";
  EXPECT_FALSE(found.proves({1203, 2.1})) << "more than they cost";
  EXPECT_TRUE(found.proves({2000, 2.1}));
  EXPECT_FALSE(found.proves({200'000, 2.1})) << "beyond the plan";
}

TEST(RunAllotment, NoiseThatIsCalibratedByPldPaysForEveryStepAndIsLessThanRdps) {
  const struct {
    double epsilon, delta, rate;
    int64_t steps;
  } targets[] = {{2, 1e-5, 0.01, 1000}, {8, 1e-6, 0.05, 300}, {0.5, 1e-7, 1e-3, 20'000}, {3, 1e-5, 0.5, 20}};
  for (const auto& t : targets) {
    const double noise = noise_multiplier_for(t.epsilon, t.delta, t.rate, t.steps, "pld");
    EXPECT_LT(noise, noise_multiplier_for(t.epsilon, t.delta, t.rate, t.steps, "rdp")) << t.epsilon;
    EXPECT_EQ(RunAllotment(plan(noise, t.rate, t.steps), {t.epsilon, t.delta, "pld"}).steps(), t.steps) << t.epsilon;
    EXPECT_GT(plan(noise * (1 - 2e-3), t.rate, t.steps).epsilon(t.delta, {"pld", 1e-5}).lower, t.epsilon) << t.epsilon;
  }
}

TEST(RunAllotment, BadOnesAreNamed) {
  EXPECT_THROW(RunAllotment(plan(1, 0.01, 10), {1, 1e-5, "tcdp"}), Error);
  EXPECT_THROW(RunAllotment(plan(1, 0.01, 10), {1, 1e-5, "moments"}), Error);
  EXPECT_THROW(RunAllotment(plan(1, 0.01, 10), {0, 1e-5, "pld"}), Error);
  EXPECT_THROW(RunAllotment(plan(1, 0.01, 10), {1, 1e-5, "pld"}, 11), Error);
  const FixedSchedule lattice(kAddRemove, {{{PoissonSampledDiscreteGaussian{1, 0.01}}, 10}});
  EXPECT_THROW(RunAllotment(lattice, {1, 1e-5, "pld"}), Error);
  EXPECT_THROW(RunAllotment(plan(1, 0.01, 10), {2, 1e-5, "rdp"}).epsilon(11), Error);
}

}  // namespace
}  // namespace sotto::accountants
