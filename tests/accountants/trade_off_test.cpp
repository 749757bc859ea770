#include "accountants/trade_off.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr auto kAddRemove = NeighbouringRelation::add_remove;

void expect_at(const Bracket& got, double truth, double alpha) {
  EXPECT_LE(got.lower, truth * (1 + 1e-15)) << alpha;
  EXPECT_GE(got.upper, truth * (1 - 1e-15)) << alpha;
  EXPECT_LE(got.upper - got.lower, 3e-12) << alpha;
}

// Φ(Φ⁻¹(1 − α) − μ) by mpmath: mp.dps = 40, ncdf and the root of ncdf(−t) = α.
TEST(TradeOff, OfAGaussianIsTheClosedForm) {
  const struct {
    double mu, alpha, f;
  } cases[] = {{0.1, 0.01, 0.98700455545385231},
               {1, 0.5, 0.15865525393145705},
               {1, 1e-05, 0.99945246856219123},
               {3, 0.2, 0.015449197615418381},
               {0.5, 0.999, 0.00016519169034684892}};
  for (const auto& each : cases) expect_at(gaussian_trade_off(each.mu, each.alpha), each.f, each.alpha);
  for (const double alpha : {0.0, 1e-300, 0.01, 0.5, 0.999, 1.0})
    expect_at(gaussian_trade_off(0, alpha), 1 - alpha, alpha);
}

TEST(TradeOff, OfLaplaceNoiseIsTheErrorOfTheThresholdTest) {
  // X ~ Laplace(0, b) against 1 + X: reject above t. α = P(X > t), β = P(1 + X ≤ t), b = 1 / ε.
  for (const double epsilon : {0.1, 1.0, 4.0})
    for (const double t : {-3.0, -0.4, 0.0, 0.3, 0.5, 0.99, 1.7, 6.0}) {
      const auto above = [&](double x) {
        return x > 0 ? 0.5 * std::exp(-epsilon * x) : 1 - 0.5 * std::exp(epsilon * x);
      };
      expect_at(laplace_trade_off(epsilon, above(t)), 1 - above(t - 1), t);
    }
  expect_at(laplace_trade_off(0, 0.3), 0.7, 0.3);
  expect_at(laplace_trade_off(2, 0), 1, 0);
}

TEST(TradeOff, OfEpsilonDeltaIsTheTwoLines) {
  expect_at(epsilon_delta_trade_off(0, 0, 0.25), 0.75, 0.25);
  expect_at(epsilon_delta_trade_off(std::log(2), 0.1, 0.2), 0.5, 0.2);  // 0.9 − 2 · 0.2
  expect_at(epsilon_delta_trade_off(std::log(2), 0.1, 0.5), 0.2, 0.5);  // (0.9 − 0.5) / 2
  expect_at(epsilon_delta_trade_off(std::log(2), 0.1, 0.95), 0, 0.95);
  expect_at(epsilon_delta_trade_off(1e6, 0.1, 0), 0.9, 0);
}

TEST(TradeOffCurve, OfAScheduleHoldsTheClosedFormOfItsGaussians) {
  const FixedSchedule schedule(kAddRemove, {{{Gaussian{10}}, 100}});  // μ = 1
  const TradeOffCurve curve(schedule, {.accountant = "gdp"}, 400);
  for (double alpha = 0.001; alpha < 1; alpha += 0.0371) {
    const Bracket got = curve.at(alpha), truth = gaussian_trade_off(1, alpha);
    EXPECT_LE(got.lower, truth.upper) << alpha;
    EXPECT_GE(got.upper, truth.lower) << alpha;
    EXPECT_LE(got.upper - got.lower, 0.05) << alpha;
    EXPECT_GE(got.lower, truth.lower - 1e-3) << alpha;
  }
}

TEST(TradeOffCurve, OfSampledStepsLiesBetweenPerfectAndUnsampled) {
  const FixedSchedule sampled(kAddRemove, {{{PoissonSampledGaussian{1, 0.02}}, 100}});
  const TradeOffCurve curve(sampled, {}, 32);
  double before = 1;
  for (const double alpha : {0.0, 0.01, 0.1, 0.3, 0.6, 0.9, 1.0}) {
    const Bracket got = curve.at(alpha);
    EXPECT_LE(got.lower, got.upper) << alpha;
    EXPECT_LE(got.upper, 1 - alpha) << alpha;
    EXPECT_GE(got.lower, gaussian_trade_off(10, alpha).lower - 1e-11) << alpha;  // its last ε has δ = 1e-12
    EXPECT_LE(got.upper, before);
    before = got.upper;
  }
  EXPECT_GT(curve.at(0.1).lower, 0.5) << "far from the 100 unsampled steps, where it is 0";
}

TEST(TradeOff, BadArgumentsAreNamed) {
  for (const double bad : {-0.1, 1.1, static_cast<double>(NAN)}) {
    EXPECT_THROW(gaussian_trade_off(1, bad), Error);
    EXPECT_THROW(laplace_trade_off(1, bad), Error);
    EXPECT_THROW(epsilon_delta_trade_off(1, 0, bad), Error);
    EXPECT_THROW(epsilon_delta_trade_off(1, bad, 0.5), Error);
  }
  EXPECT_THROW(gaussian_trade_off(-1, 0.5), Error);
  EXPECT_THROW(laplace_trade_off(NAN, 0.5), Error);
  EXPECT_THROW(TradeOffCurve(FixedSchedule(kAddRemove, {}), {}, 1), Error);
}

}  // namespace
}  // namespace sotto::accountants
