#include "accountants/zcdp/zcdp_accountant.h"

#include <gtest/gtest.h>

#include <cmath>

#include "accountants/rdp/rdp_accountant.h"
#include "accountants/rdp/sampled_gaussian.h"
#include "accountants/zcdp/conversion.h"
#include "accountants/zcdp/rho.h"
#include "accountants/zcdp/tcdp_accountant.h"
#include "base/error.h"
#include "tests/accountants/reference.h"

namespace sotto::accountants {
namespace {

constexpr auto kAddRemove = NeighbouringRelation::add_remove;

TEST(ZcdpConversion, IsTheReferenceToTwelveDigitsAndNeverBelow) {
  const auto cases = reference_cases("zcdp");
  ASSERT_GE(cases.size(), 5u);
  for (const auto& each : cases) {
    const double rho = each["params"]["rho"], delta = each["params"]["delta"], truth = each["lower"];
    EXPECT_GE(epsilon_from_zcdp(rho, delta), truth * (1 - 2.3e-16)) << each;
    EXPECT_LE(epsilon_from_zcdp(rho, delta), truth * (1 + 1e-12)) << each;
    EXPECT_NEAR(delta_from_zcdp(rho, truth), delta, 1e-11 * delta) << each;
    EXPECT_NEAR(largest_rho(truth, delta), rho, 1e-11 * rho) << each;
    EXPECT_LE(epsilon_from_zcdp(largest_rho(truth, delta), delta), truth);
  }
}

TEST(ZcdpConversion, TheEndsOfTheRange) {
  EXPECT_EQ(epsilon_from_zcdp(0, 1e-5), 0);
  EXPECT_EQ(epsilon_from_zcdp(1, 0), INFINITY);
  EXPECT_EQ(epsilon_from_zcdp(INFINITY, 1e-5), INFINITY);
  EXPECT_EQ(delta_from_zcdp(0, 1), 0);
  EXPECT_EQ(delta_from_zcdp(INFINITY, 1), 1);
  for (const double rho : {1e-15, 1e-6, 1e3, 1e9})
    for (const double delta : {1e-300, 1e-30, 0.3, 0.999}) {
      const double epsilon = epsilon_from_zcdp(rho, delta);
      EXPECT_TRUE(std::isfinite(epsilon) && epsilon >= 0) << rho << " " << delta;
      // Bun and Steinke 2016, Proposition 1.3, which it improves.
      EXPECT_LE(epsilon, (rho + 2 * std::sqrt(rho * std::log(1 / delta))) * (1 + 1e-9)) << rho << " " << delta;
    }
}

TEST(ZcdpCost, IsTheClosedFormUnderEachRelation) {
  const auto rho = [](const Event& event, NeighbouringRelation relation) {
    return zcdp_cost(event, relation).value().rho.of(1);
  };
  for (const auto relation : {kAddRemove, NeighbouringRelation::zero_out, NeighbouringRelation::replace_one}) {
    const double times = relation == NeighbouringRelation::replace_one ? 4 : 1;
    EXPECT_EQ(rho({Gaussian{2}}, relation), times / 8);
    EXPECT_EQ(rho({PoissonSampledDiscreteGaussian{2, 1}}, relation), times / 8);
    EXPECT_EQ(rho({PoissonSampledGaussian{2, 0}}, relation), 0);
  }
  EXPECT_EQ(rho({DiscreteGaussian{4, 2}}, NeighbouringRelation::replace_one), 0.5);
  EXPECT_EQ(rho({Laplace{2}}, kAddRemove), 0.125);
  EXPECT_EQ(rho({ExponentialMechanism{2, false}}, kAddRemove), 0.5);
  EXPECT_EQ(rho({EpsilonDelta{2, 1e-9}}, kAddRemove), 2);
  EXPECT_EQ(zcdp_cost({EpsilonDelta{2, 1e-9}}, kAddRemove)->delta.of(1), 1e-9);
  EXPECT_EQ(rho({Laplace{0}}, kAddRemove), INFINITY);
  EXPECT_FALSE(zcdp_cost({PoissonSampledGaussian{2, 0.5}}, kAddRemove)) << "no rho holds at all orders";
}

TEST(ZcdpAccountantTest, IsLooserThanTheExactGaussianByWhatTheReferencesSay) {
  for (const auto& each : reference_cases("zcdp")) {
    ZcdpAccountant accountant(kAddRemove);
    accountant.compose({Gaussian{std::sqrt(5 / each["params"]["rho"].get<double>())}}, 10);
    EXPECT_NEAR(accountant.epsilon(each["params"]["delta"]), each["lower"], 1e-12 * each["lower"].get<double>());
  }
}

TEST(ZcdpAccountantTest, WhatTheConversionMayUseIsWhatApproximationLeavesOfDelta) {
  ZcdpAccountant accountant(kAddRemove);
  accountant.compose({EpsilonDelta{1, 1e-7}}, 50);
  EXPECT_EQ(accountant.epsilon(4.9e-6), INFINITY);
  EXPECT_NEAR(accountant.epsilon(1.5e-5), epsilon_from_zcdp(25, 1e-5), 1e-9);
  EXPECT_GE(accountant.delta(accountant.epsilon(1.5e-5)), 1.5e-5 * (1 - 1e-9));
  // 50 uses of (1, 0) under the optimal composition of Kairouz, Oh, Viswanath: no bound may be below.
  EXPECT_GT(accountant.epsilon(1.5e-5), 30);
}

TEST(ZcdpAccountantTest, AlmostNothingSpentIsZeroOnlyWhereTotalVariationProvesIt) {
  for (const double sigma : {1.0, 10.0, 1e3, 1e5, 1e6})
    for (const double delta : {1e-5, 1e-3, 0.1, 0.4}) {
      ZcdpAccountant accountant(kAddRemove);
      accountant.compose({Gaussian{sigma}});
      if (accountant.epsilon(delta) > 0) continue;
      EXPECT_LE(std::erf(1 / (2 * std::sqrt(2.0) * sigma)), delta) << sigma << " " << delta;
    }
}

TEST(Tcdp, OfAGaussianIsZcdpWhereItsBestOrderIsWithinTheTruncation) {
  for (const auto& each : reference_cases("zcdp")) {
    const double rho = each["params"]["rho"], delta = each["params"]["delta"], truth = each["lower"];
    EXPECT_NEAR(epsilon_from_tcdp(rho, 1e6, delta), truth, 1e-12 * truth) << each;
    const double best = 1 + std::sqrt(-std::log(delta) / rho);  // nearly the best order
    EXPECT_GT(epsilon_from_tcdp(rho, 1 + (best - 1) / 3, delta), truth * 1.05) << each;
  }
}

TEST(Tcdp, RhoBoundsTheDivergenceUpToItsTruncation) {
  const Event event{PoissonSampledGaussian{1, 0.01}};
  const auto rho = tcdp_rho(event, kAddRemove);
  const auto& omegas = TcdpAccountant::truncations();
  ASSERT_EQ(rho.size(), omegas.size());
  for (size_t i = 0; i < omegas.size(); ++i)
    for (double share = 0.001; share <= 1; share += 0.0173) {
      const double order = std::max(1.001, 1 + share * (omegas[i] - 1));
      EXPECT_LE(rdp_sampled_gaussian(1, 0.01, order), rho[i] * order) << omegas[i] << " " << order;
    }
  EXPECT_LT(rho[0], 2e-4) << "before the jump: about q²(e − 1) / 2 · 2";
  EXPECT_GT(rho.back(), 0.4) << "behind it: nearly 1 / 2σ²";
  EXPECT_LE(tcdp_rho({Gaussian{1}}, kAddRemove).back(), 0.5 * 1.031);
}

TEST(Tcdp, IsLooserThanRdpAndNotByMuchForGaussians) {
  TcdpAccountant tcdp(kAddRemove);
  RdpAccountant rdp(kAddRemove);
  for (Accountant* each : {static_cast<Accountant*>(&tcdp), static_cast<Accountant*>(&rdp)}) {
    each->compose({PoissonSampledGaussian{1, 0.01}}, 1000);
    each->compose({Gaussian{10}}, 3);
  }
  EXPECT_GE(tcdp.epsilon(1e-5), rdp.epsilon(1e-5));
  EXPECT_LE(tcdp.epsilon(1e-5), rdp.epsilon(1e-5) * 3);
}

}  // namespace
}  // namespace sotto::accountants
