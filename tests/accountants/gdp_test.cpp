#include "accountants/gdp/gdp_accountant.h"

#include <gtest/gtest.h>

#include <cmath>
#include <type_traits>

#include "accountants/gdp/clt.h"
#include "base/error.h"
#include "tests/accountants/reference.h"

namespace sotto::accountants {
namespace {

constexpr auto kAddRemove = NeighbouringRelation::add_remove;

static_assert(!std::is_convertible_v<Estimate, Bracket> && !std::is_convertible_v<Estimate, double>,
              "an estimate must not pass for a bound");

TEST(GdpAccountantTest, IsTheClosedFormFromBothSides) {
  const auto cases = reference_cases("gdp");
  ASSERT_GE(cases.size(), 7u);
  for (const auto& each : cases) {
    const auto& p = each["params"];
    GdpAccountant accountant(kAddRemove);
    accountant.compose({Gaussian{10 / p["mu"].get<double>()}}, 100);
    const bool is_delta = each["quantity"] == "delta";
    const Bracket got = is_delta ? accountant.delta_bracket(p["epsilon"]) : accountant.epsilon_bracket(p["delta"]);
    const double truth = each["lower"];
    EXPECT_LE(got.lower, truth * (1 + 1e-15)) << each;
    EXPECT_GE(got.upper, truth * (1 - 1e-15)) << each;
    EXPECT_LE(got.upper - got.lower, 1e-8 * truth) << each;
  }
}

TEST(GdpAccountantTest, ATreeIsAGaussianOverItsDepth) {
  const auto cases = reference_cases("tree_aggregation");
  ASSERT_GE(cases.size(), 4u);
  for (const auto& each : cases) {
    const auto& p = each["params"];
    GdpAccountant accountant(NeighbouringRelation::zero_out);
    accountant.compose({TreeAggregation{p["sigma"], p["steps_per_epoch"]}}, p.value("epochs", 1));
    const Bracket got = accountant.epsilon_bracket(p["delta"]);
    EXPECT_LE(got.lower, each["upper"].get<double>()) << each;
    EXPECT_GE(got.upper, each["lower"].get<double>()) << each;
    EXPECT_LE(got.upper - got.lower, 1e-8 * got.upper) << each;
  }
}

TEST(GdpAccountantTest, OneIsAsPrivateAsDongRothAndSuSay) {
  // Dong, Roth, Su 2022, Section 2.4: 1-GDP is (1, 0.127)-DP; Φ(−1/2) − e Φ(−3/2) = 0.12693673750664395 (mpmath).
  GdpAccountant accountant(kAddRemove);
  accountant.compose({Gaussian{1}});
  EXPECT_NEAR(accountant.delta(1), 0.12693673750664395, 1e-10);
}

TEST(GdpAccountantTest, WhatFixedPointRoundsAwayHasNoLowerBound) {
  GdpAccountant accountant(kAddRemove);
  accountant.compose({Gaussian{1e13}});
  EXPECT_EQ(accountant.mu().lower, 0);
  EXPECT_GE(accountant.mu().upper, 1e-13);
  EXPECT_EQ(accountant.delta_bracket(0).lower, 0);
  EXPECT_GT(accountant.delta(0), 1e-14);
}

TEST(Clt, IsThePapersFormulaAndLiesBelowTheTruth) {
  const auto cases = reference_cases("gdp_clt");
  ASSERT_GE(cases.size(), 4u);
  for (const auto& each : cases) {
    const auto& p = each["params"];
    const FixedSchedule schedule(kAddRemove, {{{PoissonSampledGaussian{p["sigma"], p["q"]}}, p["steps"]}});
    const double estimate = clt_epsilon(schedule, p["delta"]).value;
    EXPECT_NEAR(estimate, each["estimate"], 1e-8 * estimate) << each;
    EXPECT_LT(estimate, each["lower"].get<double>()) << "why it is no bound";
    EXPECT_NEAR(clt_delta(schedule, estimate).value, p["delta"], 1e-6 * p["delta"].get<double>());
  }
}

TEST(Clt, TakesGaussiansOnly) {
  EXPECT_EQ(clt_mu(FixedSchedule(kAddRemove, {})).value, 0);
  EXPECT_EQ(clt_mu(FixedSchedule(kAddRemove, {{{Gaussian{2}}, 16}})).value, 2);
  EXPECT_THROW(clt_mu(FixedSchedule(kAddRemove, {{{Laplace{1}}, 1}})), Error);
  EXPECT_THROW(clt_mu(FixedSchedule(kAddRemove, {{{Gaussian{0}}, 1}})), Error);
  EXPECT_THROW(clt_mu(FixedSchedule(NeighbouringRelation::replace_one, {{{Gaussian{1}}, 1}})), Error);
}

}  // namespace
}  // namespace sotto::accountants
