#include "accountants/pld/running_check.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "base/error.h"
#include "tests/accountants/reference.h"

namespace sotto::accountants {
namespace {

constexpr auto kAddRemove = NeighbouringRelation::add_remove;
constexpr auto kReplaceOne = NeighbouringRelation::replace_one;

Event sampled(double noise_multiplier, double sample_rate) {
  return {PoissonSampledGaussian{noise_multiplier, sample_rate}};
}

// n answers of randomised response between two categories: k of them speak for the unit, at a loss of (2k − n) ε each.
long double answers_delta(int64_t n, long double epsilon_each, long double epsilon) {
  const long double told = 1 / (1 + std::exp(-epsilon_each));
  long double sum = 0;
  for (int64_t k = 0; k <= n; ++k) {
    const long double loss = static_cast<long double>(2 * k - n) * epsilon_each;
    if (loss <= epsilon) continue;
    const long double log_mass =
        std::lgamma(static_cast<long double>(n) + 1) - std::lgamma(static_cast<long double>(k) + 1) -
        std::lgamma(static_cast<long double>(n - k) + 1) + static_cast<long double>(k) * std::log(told) +
        static_cast<long double>(n - k) * std::log1p(-told);
    sum += std::exp(log_mass) * -std::expm1(epsilon - loss);
  }
  return sum;
}

// Balle and Wang 2018, theorem 8.
long double gaussian_delta(long double mu, long double epsilon) {
  const auto phi = [](long double x) { return std::erfc(-x / std::sqrt(2.0L)) / 2; };
  return phi(mu / 2 - epsilon / mu) - std::exp(epsilon) * phi(-mu / 2 - epsilon / mu);
}

TEST(RunningCheck, StopsWhereTheReferenceDoes) {
  const auto cases = reference_cases("stop_at_budget");
  ASSERT_GE(cases.size(), 3u);
  for (const auto& each : cases) {
    const auto& p = each["params"];
    RunningCheck check(FixedSchedule(kAddRemove, {{sampled(p["sigma"], p["q"]), 100'000}}), p["budget_epsilon"],
                       p["delta"]);
    int64_t steps = 0;
    while (check.take(0)) ++steps;
    EXPECT_GE(steps, each["lower"].get<int64_t>()) << each;
    EXPECT_LE(steps, each["upper"].get<int64_t>()) << each;
    EXPECT_LE(check.full_brackets(), 8) << "the running spectrum decides all but the steps next to the budget";
  }
}

TEST(RunningCheck, AgreesWithTheFullBracketAfterEachStepOfSmallSchedules) {
  const struct {
    const char* name;
    FixedSchedule schedule;
    double epsilon, delta;
  } cases[] = {
      {"Laplace", {kAddRemove, {{{Laplace{3}}, 16}}}, 4, 1e-6},
      {"discrete Laplace", {kAddRemove, {{{DiscreteLaplace{4, 1}}, 16}}}, 3, 1e-6},
      {"tiny rate", {kAddRemove, {{sampled(0.8, 1e-4), 12}}}, 0.3, 1e-7},
      {"large steps", {kAddRemove, {{sampled(0.6, 0.3), 12}}}, 12, 1e-10},
      {"replace one", {kReplaceOne, {{sampled(1, 0.05), 10}}}, 2, 1e-5},
      {"an event of several", {kAddRemove, {{{SelfComposed{Event{Laplace{8}}, 3}}, 12}}}, 3, 1e-6},
      {"upper bounds alone", {kAddRemove, {{{ReportNoisyMax{10, true}}, 6}}}, 0.5, 1e-6},
  };
  for (const auto& each : cases) {
    RunningCheck check(each.schedule, each.epsilon, each.delta);
    for (int64_t steps = 1; steps <= each.schedule.steps(); ++steps) {
      PldAccountant accountant(each.schedule.relation(), {.relative_gap = 1e-3});
      accountant.compose(each.schedule.parts()[0].event, steps);
      const Bracket whole = accountant.delta_bracket(each.epsilon), cost = accountant.epsilon_bracket(each.delta);
      const bool holds = check.take(0);
      const Bracket running = check.delta();
      EXPECT_LE(running.lower, whole.upper) << each.name << " " << steps;
      EXPECT_GE(running.upper, whole.lower) << each.name << " " << steps;
      if (cost.upper <= each.epsilon || cost.lower > each.epsilon) {
        EXPECT_EQ(holds, cost.upper <= each.epsilon) << each.name << " " << steps;
      }
    }
  }
}

// Losses lie on the grid, so nothing but rounding and the window is between the bounds.
TEST(RunningCheck, HoldsTheBinomialOfRandomisedResponseInLongDoubles) {
  const struct {
    double each, epsilon, delta;
    int64_t steps;
  } cases[] = {{0.05, 3, 1e-6, 400}, {0.5, 12, 1e-8, 60}, {0.01, 2, 1e-10, 2000}, {1.0, 4.5, 1e-3, 30}};
  for (const auto& p : cases) {
    RunningCheck check(FixedSchedule(kReplaceOne, {{{RandomizedResponse{p.each, 2}}, p.steps}}), p.epsilon, p.delta);
    for (int64_t steps = 1; steps <= p.steps; ++steps) {
      const bool held = check.take(0);
      const Bracket running = check.delta();
      const long double truth = answers_delta(steps, p.each, p.epsilon);
      ASSERT_LE(running.lower, truth) << p.each << " " << steps;
      ASSERT_GE(running.upper, truth) << p.each << " " << steps;
      EXPECT_EQ(held, truth <= p.delta) << p.each << " " << steps;
      if (truth > p.delta / 100 && truth <= p.delta) {
        EXPECT_LE(running.upper - running.lower, 1e-3 * running.upper) << p.each << " " << steps;
      }
    }
  }
}

TEST(RunningCheck, HoldsTheClosedFormOfGaussiansInLongDoubles) {
  const double sigma = 20;
  RunningCheck check(FixedSchedule(kAddRemove, {{{Gaussian{sigma}}, 1000}}), 5, 1e-7);
  for (int64_t steps = 1; steps <= 1000; ++steps) {
    const bool held = check.take(0);
    const long double truth = gaussian_delta(std::sqrt(static_cast<long double>(steps)) / sigma, 5);
    const Bracket running = check.delta();
    ASSERT_LE(running.lower, truth) << steps;
    ASSERT_GE(running.upper, truth) << steps;
    if (std::abs(truth - 1e-7L) > 1e-9L) {
      EXPECT_EQ(held, truth <= 1e-7L) << steps;
    }
  }
}

// A loss of at most n ε_each cannot pass ε: δ is 0, and what rounding leaves in the sum must not count below.
TEST(RunningCheck, ClaimsNothingFromBelowWhereNothingCanBeLost) {
  RunningCheck check(FixedSchedule(kReplaceOne, {{{RandomizedResponse{0.5, 2}}, 60}}), 12, 1e-8);
  for (int64_t steps = 1; steps <= 24; ++steps) {
    EXPECT_TRUE(check.take(0));
    EXPECT_EQ(check.delta().lower, 0) << steps;
  }
}

TEST(RunningCheck, MixedStepsInAnyOrderMeetTheBudgetAtTheSameCounts) {
  const EventList parts = {{sampled(1, 0.01), 300}, {sampled(2, 0.05), 200}, {{Laplace{20}}, 60}, {{Gaussian{40}}, 40}};
  const FixedSchedule schedule(kAddRemove, parts);
  PldAccountant whole(kAddRemove, {.relative_gap = 1e-5});
  compose(whole, parts);
  const double epsilon = 2, delta = whole.delta_bracket(epsilon).upper * 1.001;
  for (const uint64_t seed : {1, 2, 3}) {
    std::vector<size_t> order;
    for (size_t part = 0; part < parts.size(); ++part) order.insert(order.end(), parts[part].count, part);
    std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
    RunningCheck check(schedule, epsilon, delta);
    for (const size_t part : order) EXPECT_TRUE(check.take(part));
    const Bracket running = check.delta(), truth = whole.delta_bracket(epsilon);
    EXPECT_LE(running.lower, truth.upper);
    EXPECT_GE(running.upper, truth.lower);
    EXPECT_LE(running.upper, running.lower * 1.1);
  }
  RunningCheck at_once(schedule, epsilon, delta);
  for (size_t part = 0; part < parts.size(); ++part) EXPECT_TRUE(at_once.take(part, parts[part].count));
  RunningCheck tighter(schedule, epsilon, delta * 0.995);
  bool held = true;
  for (size_t part = 0; part < parts.size(); ++part) held = tighter.take(part, parts[part].count);
  EXPECT_FALSE(held) << "0.5 % less than all of it costs";
}

TEST(RunningCheck, AMillionStepsKeepBothBounds) {
  const double epsilon = 0.9;
  const FixedSchedule schedule(kAddRemove, {{sampled(2, 1e-3), 1'000'000}});
  const Bracket truth = schedule.delta(epsilon, {.relative_gap = 1e-4});
  RunningCheck check(schedule, epsilon, truth.upper * 1.1);
  for (int64_t step = 0; step < 1'000'000; ++step) ASSERT_TRUE(check.take(0)) << step;
  EXPECT_LE(check.delta().lower, truth.upper);
  EXPECT_GE(check.delta().upper, truth.lower);
  EXPECT_LE(check.delta().upper, check.delta().lower * 1.2);
}

TEST(RunningCheck, AfterTheFirstStepTooManyNothingHolds) {
  RunningCheck check(FixedSchedule(kAddRemove, {{{Gaussian{0.5}}, 3}, {sampled(5, 0.001), 10}}), 1, 1e-5);
  EXPECT_TRUE(check.take(1));
  EXPECT_FALSE(check.take(0));
  EXPECT_FALSE(check.take(1));
}

TEST(RunningCheck, WhatHasNoGridIsDecidedByTheFullBracket) {
  RunningCheck silent(FixedSchedule(kAddRemove, {{{Gaussian{0}}, 3}}), 1, 1e-5);
  EXPECT_FALSE(silent.take(0)) << "no noise";
  RunningCheck open(FixedSchedule(kAddRemove, {{{NonPrivate{}}, 3}, {sampled(1, 0.01), 3}}), 1, 1e-5);
  EXPECT_TRUE(open.take(1));
  EXPECT_FALSE(open.take(0));
  RunningCheck nothing(FixedSchedule(kAddRemove, {{sampled(1, 0), 3}}), 0, 1e-5);
  EXPECT_TRUE(nothing.take(0, 3));
}

TEST(RunningCheck, TakesNoMoreThanTheScheduleHas) {
  RunningCheck check(FixedSchedule(kAddRemove, {{sampled(1, 0.01), 3}}), 2, 1e-5);
  EXPECT_THROW(check.take(1), Error);
  EXPECT_THROW(check.take(0, 0), Error);
  EXPECT_TRUE(check.take(0, 2));
  EXPECT_THROW(check.take(0, 2), Error);
  EXPECT_EQ(check.taken().front().count, 2);
  EXPECT_TRUE(check.take(0));
  const FixedSchedule one(kAddRemove, {{sampled(1, 0.01), 1}});
  EXPECT_THROW(RunningCheck(one, -1, 1e-5), Error);
  EXPECT_THROW(RunningCheck(one, NAN, 1e-5), Error);
  EXPECT_THROW(RunningCheck(one, 1, 0), Error);
  EXPECT_THROW(RunningCheck(FixedSchedule(kAddRemove, {{{PoissonSampledDiscreteGaussian{1, 0.1}}, 1}}), 1, 1e-5),
               Error);
}

}  // namespace
}  // namespace sotto::accountants
