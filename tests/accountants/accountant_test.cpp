#include "accountants/accountant.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "accountants/rdp/conversion.h"
#include "accountants/rdp/orders.h"
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
  double gap_ = 1e-3;
};

TEST_P(AccountantContract, EpsilonIsNeverBelowTheReferenceBracket) {
  for (const char* family : {"sampled_gaussian", "delta_sweep"}) {
    const auto cases = reference_cases(family);
    ASSERT_GE(cases.size(), 7u);
    for (const auto& each : cases) {
      const auto& p = each["params"];
      EXPECT_GE(epsilon(sampled(p["sigma"], p["q"]), p["steps"], p["delta"]), each["lower"].get<double>()) << each;
    }
  }
}

TEST_P(AccountantContract, HeterogeneousCompositionIsNeverBelowTheReferenceBracket) {
  const auto cases = reference_cases("heterogeneous");
  ASSERT_FALSE(cases.empty());
  for (const auto& each : cases) {
    const auto accountant = make();
    for (const auto& part : each["params"]["parts"]) accountant->compose(sampled(part[1], part[2]), part[3]);
    EXPECT_GE(accountant->epsilon(each["params"]["delta"]), each["lower"].get<double>()) << each;
  }
}

TEST_P(AccountantContract, DeltaIsNeverBelowTheReferenceBracket) {
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
  accountant->compose(sampled(1, 0.5), 0);
  accountant->compose(sampled(1, 0), 1000);
  accountant->compose(sampled(0, 0), 1000);
  EXPECT_EQ(accountant->epsilon(1e-5), 0);
  EXPECT_EQ(accountant->epsilon(0), 0);
}

TEST_P(AccountantContract, NoNoiseIsUnbounded) {
  for (const Event& event : {sampled(0, 0.1), Event{Gaussian{0}}}) {
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
          const double at = epsilon(sampled(sigma, q), steps, delta);
          EXPECT_TRUE(std::isfinite(at) && at >= 0) << sigma << " " << q << " " << steps << " " << delta << ": " << at;
          EXPECT_GE(at, previous) << sigma << " " << q << " " << steps << " " << delta;
          previous = at;
        }
      }
}

TEST_P(AccountantContract, EpsilonFallsWithNoiseAndDeltaAndGrowsWithRateAndSteps) {
  const double base = epsilon(sampled(1, 0.01), 1000, 1e-5);
  EXPECT_LT(epsilon(sampled(1.01, 0.01), 1000, 1e-5), base);
  EXPECT_GT(epsilon(sampled(1, 0.0101), 1000, 1e-5), base);
  EXPECT_GT(epsilon(sampled(1, 0.01), 1001, 1e-5), base);
  EXPECT_LT(epsilon(sampled(1, 0.01), 1000, 2e-5), base);
}

TEST_P(AccountantContract, EpsilonAndDeltaAreInversesOnTheSafeSide) {
  gap_ = 1e-5;  // δ moves by θε times as much
  for (const double delta : {1e-20, 1e-9, 1e-5, 0.01}) {
    const auto accountant = make();
    accountant->compose(sampled(1, 0.02), 500);
    const double back = accountant->delta(accountant->epsilon(delta));
    EXPECT_LE(back, delta * 1.001);
    EXPECT_GE(back, delta * 0.999);
  }
}

TEST_P(AccountantContract, ComposingOneByOneEqualsComposingAtOnce) {
  const auto accountant = make();
  for (int i = 0; i < 5000; ++i) accountant->compose(sampled(1, 0.01));
  EXPECT_EQ(accountant->epsilon(1e-5), epsilon(sampled(1, 0.01), 5000, 1e-5));
}

TEST_P(AccountantContract, OrderOfCompositionDoesNotMatter) {
  const auto one = make(), other = make();
  one->compose(sampled(1, 0.01), 300);
  one->compose(Event{Gaussian{5}}, 2);
  other->compose(Event{Gaussian{5}}, 2);
  other->compose(sampled(1, 0.01), 300);
  EXPECT_NEAR(one->epsilon(1e-6), other->epsilon(1e-6), 1e-12);
}

TEST_P(AccountantContract, ACloneGoesItsOwnWay) {
  const auto accountant = make();
  accountant->compose(sampled(1, 0.01), 100);
  const double before = accountant->epsilon(1e-5);
  const auto clone = accountant->clone();
  EXPECT_EQ(clone->epsilon(1e-5), before);
  clone->compose(sampled(1, 0.01), 100);
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

TEST(MakeAccountant, AnUnknownNameListsTheKnownOnes) {
  try {
    make_accountant("prv", NeighbouringRelation::add_remove);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::configuration);
    EXPECT_NE(std::string(error.what()).find("unknown accountant \"prv\"; known: rdp"), std::string::npos);
  }
}

class RdpAccountantTest : public testing::Test {
 protected:
  double epsilon(const Event& event, int64_t steps, double delta) const {
    const auto accountant = make_accountant("rdp", NeighbouringRelation::add_remove);
    accountant->compose(event, steps);
    return accountant->epsilon(delta);
  }
};

TEST_F(RdpAccountantTest, IsAsTightAsThePeersRdp) {
  int compared = 0;
  for (const auto& each : reference_cases("sampled_gaussian")) {
    if (!each.contains("peer_rdp")) continue;
    const auto& p = each["params"];
    const double got = epsilon(sampled(p["sigma"], p["q"]), p["steps"], p["delta"]);
    EXPECT_LE(got, each["peer_rdp"].get<double>() * (1 + 1e-3)) << each << " got " << got;
    ++compared;
  }
  EXPECT_GT(compared, 25);
}

TEST_F(RdpAccountantTest, GaussianIsTheBestOrderOfTheClosedForm) {
  // ρ-zCDP with the order optimised over the reals, mpmath: the grid may lose 0.1 %, and never a bit of safety.
  const auto cases = reference_cases("zcdp");
  ASSERT_GE(cases.size(), 4u);
  for (const auto& each : cases) {
    const double rho = each["params"]["rho"], truth = each["lower"];
    const double got = epsilon(Event{Gaussian{std::sqrt(0.5 / rho)}}, 1, each["params"]["delta"]);
    EXPECT_GE(got, truth * (1 - 1e-14)) << each;
    EXPECT_LE(got, truth * (1 + 1e-3)) << each;
  }
}

TEST_F(RdpAccountantTest, ZeroOutCostsWhatAddRemoveCosts) {
  const auto zero_out = make_accountant("rdp", NeighbouringRelation::zero_out);
  zero_out->compose(sampled(1, 0.01), 100);
  EXPECT_EQ(zero_out->epsilon(1e-5), epsilon(sampled(1, 0.01), 100, 1e-5));
}

TEST_F(RdpAccountantTest, ReplaceOneOfAPlainGaussianIsNotTheAddRemoveValue) {
  const auto replace = make_accountant("rdp", NeighbouringRelation::replace_one);
  replace->compose(Event{Gaussian{1}});
  EXPECT_GE(replace->epsilon(1e-5), 9.9972561464343) << "exact value at sensitivity 2; a peer reports 4.729";
}

TEST_F(RdpAccountantTest, AlmostNothingSpentIsZeroOnlyWhereTotalVariationProvesIt) {
  // A Gaussian's total variation is erf(1 / (2√2 σ)) ≈ 0.399 / σ: ε = 0 is true only where δ reaches it.
  EXPECT_EQ(epsilon(Event{Gaussian{1e6}}, 1, 1e-5), 0);
  EXPECT_GT(epsilon(Event{Gaussian{1e4}}, 1, 1e-5), 0);
  for (const double sigma : {1.0, 10.0, 1e3, 1e5})
    for (const double delta : {1e-5, 1e-3, 0.1, 0.4}) {
      if (epsilon(Event{Gaussian{sigma}}, 1, delta) > 0) continue;
      EXPECT_LE(std::erf(1 / (2 * std::sqrt(2.0) * sigma)), delta) << sigma << " " << delta;
    }
}

TEST(RdpConversion, InfiniteOrdersAreIgnoredAndNoneLeftIsUnbounded) {
  EXPECT_EQ(epsilon_from_rdp({2, 3}, {INFINITY, INFINITY}, 1e-5), INFINITY);
  EXPECT_EQ(epsilon_from_rdp({2, 3}, {1, INFINITY}, 1e-5), epsilon_from_rdp({2}, {1}, 1e-5));
  EXPECT_EQ(epsilon_from_rdp({2}, {1}, 0), INFINITY);
  EXPECT_EQ(delta_from_rdp({2}, {INFINITY}, 1), 1);
  EXPECT_THROW(epsilon_from_rdp({2, 3}, {1}, 1e-5), Error);
}

}  // namespace
}  // namespace sotto::accountants
