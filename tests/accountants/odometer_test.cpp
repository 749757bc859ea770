#include "accountants/odometer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "accountants/fixed_schedule.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr auto kAddRemove = NeighbouringRelation::add_remove;

Event gaussian(double noise_multiplier) {
  return {Gaussian{noise_multiplier}};
}

class OdometerTest : public testing::TestWithParam<Currency> {};

TEST_P(OdometerTest, ShowsNothingAtFirstAndNeverGoesBack) {
  Odometer odometer(GetParam(), kAddRemove, 1e-5);
  EXPECT_EQ(odometer.epsilon(), 0);
  odometer.charge(gaussian(10), 0);
  EXPECT_EQ(odometer.epsilon(), 0);
  double before = 0;
  for (int i = 0; i < 3000; ++i) {
    odometer.charge(gaussian(5 + i % 50));
    ASSERT_GE(odometer.epsilon(), before);
    before = odometer.epsilon();
  }
  EXPECT_TRUE(std::isfinite(before));
  odometer.charge(gaussian(0));
  EXPECT_EQ(odometer.epsilon(), INFINITY);
  odometer.charge(gaussian(10));
  EXPECT_EQ(odometer.epsilon(), INFINITY);
}

TEST_P(OdometerTest, ShowsMoreThanTheExactCostOfTheSameScheduleAndLessThanTwice) {
  for (const int64_t steps : {1, 10, 100, 1000, 10'000}) {
    Odometer odometer(GetParam(), kAddRemove, 1e-5);
    odometer.charge(gaussian(40), steps);
    const double exact = FixedSchedule(kAddRemove, {{gaussian(40), steps}}).epsilon(1e-5).lower;
    EXPECT_GT(odometer.epsilon(), exact) << steps;
    EXPECT_LT(odometer.epsilon(), std::max(0.15, exact * 2)) << steps;
  }
}

TEST_P(OdometerTest, OneByOneOrAllAtOnceShowTheSame) {
  Odometer one(GetParam(), kAddRemove, 1e-5), other(GetParam(), kAddRemove, 1e-5);
  for (int i = 0; i < 777; ++i) one.charge(gaussian(12));
  other.charge(gaussian(12), 777);
  EXPECT_EQ(one.epsilon(), other.epsilon());
}

INSTANTIATE_TEST_SUITE_P(
    , OdometerTest, testing::Values(Currency::rdp, Currency::zcdp, Currency::gdp), [](const auto& info) {
      return std::string(info.param == Currency::rdp ? "rdp" : info.param == Currency::zcdp ? "zcdp" : "gdp");
    });

// The least rung j with Σ μ² ≤ μ(ε_j, δ_j)², each δ_j = δ / ((j+1)(j+2)): mpmath's answer, computed from Balle and
// Wang's closed form at 40 digits (ε_0 = 0.05, ratio 1.2, δ = 1e-5).
TEST(Odometer, ShowsTheRungOfTheClosedForm) {
  const struct {
    double mu_squared, epsilon;
  } cases[] = {{1, 6.8685275983729689}, {4, 14.242578827986188}, {25, 42.528112499105511}, {100, 126.98826347252907}};
  for (const auto& each : cases) {
    Odometer odometer(Currency::gdp, kAddRemove, 1e-5);
    odometer.charge(gaussian(1), static_cast<int64_t>(each.mu_squared));
    EXPECT_NEAR(odometer.epsilon(), each.epsilon, 1e-12 * each.epsilon) << each.mu_squared;
  }
}

TEST(Odometer, BadArgumentsAreNamed) {
  for (const double bad : {0.0, 1.0, -1.0, static_cast<double>(NAN)})
    EXPECT_THROW(Odometer(Currency::rdp, kAddRemove, bad), Error) << bad;
  EXPECT_THROW(Odometer(Currency::rdp, kAddRemove, 1e-5, {.first_epsilon = 0}), Error);
  EXPECT_THROW(Odometer(Currency::rdp, kAddRemove, 1e-5, {.ratio = 1}), Error);
  Odometer odometer(Currency::gdp, kAddRemove, 1e-5);
  EXPECT_THROW(odometer.charge({PoissonSampledGaussian{1, 0.5}}), Error);
  EXPECT_THROW(odometer.charge(gaussian(1), -1), Error);
  EXPECT_EQ(odometer.epsilon(), 0);
}

}  // namespace
}  // namespace sotto::accountants
