#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "accountants/accountant.h"
#include "base/error.h"
#include "tests/accountants/reference.h"

namespace sotto::accountants {
namespace {

Event sampled(double noise_multiplier, double sample_rate) {
  return {PoissonSampledGaussian{noise_multiplier, sample_rate}};
}

// What every accountant must keep; a new one joins by its name in fixed_schedule_accountant_names().
class AccountantContract : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Accountant> make(NeighbouringRelation relation = NeighbouringRelation::add_remove) const {
    return make_fixed_schedule_accountant(GetParam(), relation, gap_);
  }
  double epsilon(const Event& event, int64_t steps, double delta) const {
    const auto accountant = make();
    accountant->compose(event, steps);
    return accountant->epsilon(delta);
  }
  // A step of training, sampled where the accountant knows sampling.
  Event step(double noise_multiplier, double sample_rate) const {
    const Event event = sampled(noise_multiplier, sample_rate);
    return make()->supports(event) ? event : Event{Gaussian{noise_multiplier}};
  }
  bool knows_sampling() const { return make()->supports(sampled(1, 0.01)); }
  double gap_ = 1e-3;
};

TEST_P(AccountantContract, EpsilonIsNeverBelowTheReferenceBracket) {
  int compared = 0;
  for (const char* family : {"sampled_gaussian", "delta_sweep"})
    for (const auto& each : reference_cases(family)) {
      const auto& p = each["params"];
      const Event event = sampled(p["sigma"], p["q"]);
      if (!make()->supports(event)) continue;
      // The references are rounded to double.
      EXPECT_GE(epsilon(event, p["steps"], p["delta"]), each["lower"].get<double>() * (1 - 1e-15)) << each;
      ++compared;
    }
  EXPECT_GE(compared, knows_sampling() ? 41 : 7);
}

TEST_P(AccountantContract, AGaussiansEpsilonIsNeverBelowTheClosedForm) {
  const auto cases = reference_cases("gdp");
  ASSERT_GE(cases.size(), 7u);
  for (const auto& each : cases) {
    const auto& p = each["params"];
    const auto accountant = make();
    // μ² = 4 · (μ/2)², the noise rounded up by no more than the tolerance.
    accountant->compose(Event{Gaussian{2 / p["mu"].get<double>()}}, 4);
    const bool is_delta = each["quantity"] == "delta";
    const double got = is_delta ? accountant->delta(p["epsilon"]) : accountant->epsilon(p["delta"]);
    EXPECT_GE(got, each["lower"].get<double>() * (1 - 1e-12)) << each;
    EXPECT_LE(got, each["upper"].get<double>() * (is_delta ? 100 : 1.3)) << each;
  }
}

TEST_P(AccountantContract, DifferentGaussiansAddUpToTheirClosedForm) {
  // μ² = 75/100 + 4/16 = 1 and δ = 1e-6: ε = 4.886554117462212 (mpmath, Balle and Wang's closed form).
  const auto accountant = make();
  accountant->compose(Event{Gaussian{10}}, 75);
  accountant->compose(Event{Gaussian{4}}, 4);
  EXPECT_GE(accountant->epsilon(1e-6), 4.886554117462212 * (1 - 1e-15));
  EXPECT_LE(accountant->epsilon_bracket(1e-6).lower, 4.886554117462212 * (1 + 1e-15));
  EXPECT_LE(accountant->epsilon(1e-6), 4.886554117462212 * 1.2);
}

TEST_P(AccountantContract, TheLowerEndIsNeverAboveTheUpper) {
  for (const double sigma : {0.5, 1.0, 10.0})
    for (const double delta : {1e-20, 1e-9, 1e-5, 0.1}) {
      const auto accountant = make();
      accountant->compose(step(sigma, 0.02), 200);
      accountant->compose(Event{Gaussian{20}}, 3);
      const Bracket epsilon = accountant->epsilon_bracket(delta), back = accountant->delta_bracket(1);
      EXPECT_LE(epsilon.lower, epsilon.upper);
      EXPECT_GE(epsilon.lower, 0);
      EXPECT_LE(back.lower, back.upper);
      EXPECT_LE(back.upper, 1);
    }
}

TEST_P(AccountantContract, HeterogeneousCompositionIsNeverBelowTheReferenceBracket) {
  if (!knows_sampling()) GTEST_SKIP() << "the references are of sampled steps, which " << GetParam() << " refuses";
  const auto cases = reference_cases("heterogeneous");
  ASSERT_FALSE(cases.empty());
  for (const auto& each : cases) {
    const auto accountant = make();
    for (const auto& part : each["params"]["parts"]) accountant->compose(sampled(part[1], part[2]), part[3]);
    EXPECT_GE(accountant->epsilon(each["params"]["delta"]), each["lower"].get<double>()) << each;
  }
}

TEST_P(AccountantContract, DeltaIsNeverBelowTheReferenceBracket) {
  if (!knows_sampling()) GTEST_SKIP() << "the references are of sampled steps, which " << GetParam() << " refuses";
  const auto cases = reference_cases("delta_for_epsilon");
  ASSERT_FALSE(cases.empty());
  for (const auto& each : cases) {
    const auto& p = each["params"];
    const auto accountant = make();
    accountant->compose(sampled(p["sigma"], p["q"]), p["steps"]);
    EXPECT_GE(accountant->delta(p["epsilon"]), each["lower"].get<double>()) << each;
    EXPECT_LE(accountant->delta(p["epsilon"]), 1);
  }
}

TEST_P(AccountantContract, NothingComposedCostsNothing) {
  const auto accountant = make();
  EXPECT_EQ(accountant->epsilon(1e-5), 0);
  EXPECT_EQ(accountant->delta(0), 0);
  accountant->compose(step(1, 0.5), 0);
  accountant->compose(sampled(1, 0), 1000);
  accountant->compose(sampled(0, 0), 1000);
  EXPECT_EQ(accountant->epsilon(1e-5), 0);
  EXPECT_EQ(accountant->epsilon(0), 0);
}

TEST_P(AccountantContract, NoNoiseIsUnbounded) {
  for (const Event& event : {step(0, 0.1), Event{Gaussian{0}}}) {
    const auto accountant = make();
    accountant->compose(event);
    EXPECT_EQ(accountant->epsilon(1e-5), INFINITY);
    EXPECT_EQ(accountant->delta(100), 1);
  }
}

TEST_P(AccountantContract, ExtremeSchedulesStayFiniteAndMonotone) {
  for (const double sigma : {0.3, 1.0, 30.0, 1e4})
    for (const double q : {1e-9, 1e-4, 0.3, 1.0})
      for (const double delta : {1e-30, 1e-20, 1e-5, 0.1, 0.5}) {
        double previous = 0;
        for (const int64_t steps : {1l, 1000l, 100'000'000l}) {
          const double at = epsilon(step(sigma, q), steps, delta);
          EXPECT_TRUE(std::isfinite(at) && at >= 0) << sigma << " " << q << " " << steps << " " << delta << ": " << at;
          EXPECT_GE(at, previous) << sigma << " " << q << " " << steps << " " << delta;
          previous = at;
        }
      }
}

TEST_P(AccountantContract, EpsilonFallsWithNoiseAndDeltaAndGrowsWithRateAndSteps) {
  const double base = epsilon(step(1, 0.01), 1000, 1e-5);
  EXPECT_LT(epsilon(step(1.01, 0.01), 1000, 1e-5), base);
  if (knows_sampling()) {
    EXPECT_GT(epsilon(sampled(1, 0.0101), 1000, 1e-5), base);
  }
  EXPECT_GT(epsilon(step(1, 0.01), 1001, 1e-5), base);
  EXPECT_LT(epsilon(step(1, 0.01), 1000, 2e-5), base);
}

TEST_P(AccountantContract, EpsilonAndDeltaAreInversesOnTheSafeSide) {
  gap_ = 1e-5;  // δ moves by θε times as much
  for (const double delta : {1e-20, 1e-9, 1e-5, 0.01}) {
    const auto accountant = make();
    accountant->compose(step(1, 0.02), 500);
    const double back = accountant->delta(accountant->epsilon(delta));
    EXPECT_LE(back, delta * 1.001);
    EXPECT_GE(back, delta * 0.999);
  }
}

TEST_P(AccountantContract, ComposingOneByOneEqualsComposingAtOnce) {
  const auto accountant = make();
  for (int i = 0; i < 5000; ++i) accountant->compose(step(1, 0.01));
  EXPECT_EQ(accountant->epsilon(1e-5), epsilon(step(1, 0.01), 5000, 1e-5));
}

TEST_P(AccountantContract, OrderOfCompositionDoesNotMatter) {
  const auto one = make(), other = make();
  one->compose(step(1, 0.01), 300);
  one->compose(Event{Gaussian{5}}, 2);
  other->compose(Event{Gaussian{5}}, 2);
  other->compose(step(1, 0.01), 300);
  EXPECT_NEAR(one->epsilon(1e-6), other->epsilon(1e-6), 1e-12);
}

TEST_P(AccountantContract, ACloneGoesItsOwnWay) {
  const auto accountant = make();
  accountant->compose(step(1, 0.01), 100);
  const double before = accountant->epsilon(1e-5);
  const auto clone = accountant->clone();
  EXPECT_EQ(clone->epsilon(1e-5), before);
  clone->compose(step(1, 0.01), 100);
  EXPECT_GT(clone->epsilon(1e-5), before);
  EXPECT_EQ(accountant->epsilon(1e-5), before);
}

TEST_P(AccountantContract, WhatItDoesNotSupportThrowsAndChangesNothing) {
  const auto accountant = make(NeighbouringRelation::replace_one);
  if (accountant->supports(sampled(1, 0.1), NeighbouringRelation::replace_one)) GTEST_SKIP() << "supported here";
  try {
    accountant->compose(sampled(1, 0.1));
    FAIL() << "an approximation was made silently";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::configuration);
    EXPECT_NE(std::string(error.what()).find("replace_one"), std::string::npos);
  }
  EXPECT_EQ(accountant->epsilon(1e-5), 0);
}

TEST_P(AccountantContract, BadArgumentsAreNamed) {
  const auto accountant = make();
  EXPECT_THROW(accountant->compose(sampled(1, 0.1), -1), Error);
  EXPECT_THROW(accountant->compose(sampled(-1, 0.1)), Error);
  for (const double delta : {-0.1, 1.0, static_cast<double>(NAN)}) EXPECT_THROW(accountant->epsilon(delta), Error);
  for (const double each : {-0.1, static_cast<double>(NAN)}) EXPECT_THROW(accountant->delta(each), Error);
}

INSTANTIATE_TEST_SUITE_P(, AccountantContract, testing::ValuesIn(fixed_schedule_accountant_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace sotto::accountants
