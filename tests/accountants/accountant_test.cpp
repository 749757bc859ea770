#include "accountants/accountant.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "accountants/rdp/conversion.h"
#include "accountants/rdp/orders.h"
#include "accountants/rdp/rdp_accountant.h"
#include "base/error.h"
#include "tests/accountants/reference.h"

namespace sotto::accountants {
namespace {

Event sampled(double noise_multiplier, double sample_rate) {
  return {PoissonSampledGaussian{noise_multiplier, sample_rate}};
}

TEST(MakeAccountant, AnUnknownNameListsTheKnownOnes) {
  try {
    make_accountant("prv", NeighbouringRelation::add_remove);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::configuration);
    EXPECT_NE(std::string(error.what()).find("unknown accountant \"prv\"; known: rdp, zcdp, gdp"), std::string::npos);
  }
}

TEST(MakeAccountant, AnEstimateIsRefusedWithTheReason) {
  for (const auto& make : {+[] { make_accountant("gdp_clt", NeighbouringRelation::add_remove); },
                           +[] { make_fixed_schedule_accountant("gdp_clt", NeighbouringRelation::add_remove); }})
    try {
      make();
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::configuration);
      EXPECT_NE(std::string(error.what()).find("an estimate and no bound"), std::string::npos) << error.what();
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

TEST_F(RdpAccountantTest, TheSearchForTheBestOrderLosesNothingAgainstTheWholeTable) {
  for (const double sigma : {0.2, 0.7, 1.0, 5.0, 100.0})
    for (const double q : {1e-6, 1e-3, 0.05, 0.7, 1.0})
      for (const int64_t steps : {1, 300, 1'000'000})
        for (const double delta : {1e-30, 1e-9, 1e-3, 0.3}) {
          RdpAccountant accountant(NeighbouringRelation::add_remove);
          accountant.compose(sampled(sigma, q), steps);
          accountant.compose({PoissonSampled{0.05, Event{Laplace{3}}}}, 7);
          const double whole = epsilon_from_rdp(default_orders(), accountant.table(), delta);
          EXPECT_LE(accountant.epsilon(delta), whole * (1 + 1e-9)) << sigma << " " << q << " " << steps << " " << delta;
          EXPECT_LE(accountant.delta(0.5), delta_from_rdp(default_orders(), accountant.table(), 0.5) * (1 + 1e-9))
              << sigma << " " << q << " " << steps;
        }
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
