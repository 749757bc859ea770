#include "accountants/prv_cross_check.h"

#include <gtest/gtest.h>

#include <cmath>

#include "accountants/pld/pld_accountant.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr auto kAddRemove = NeighbouringRelation::add_remove;

TEST(PrvCrossCheck, ASecondKindOfBracketOverlaps) {
  const struct {
    double sigma, q;
    int uses;
  } kSchedules[] = {{1, 0.01, 1000}, {1, 0.01, 10000}, {2, 0.1, 100}, {0.8, 0.005, 500}, {4, 0.5, 50}, {1.5, 1, 4}};
  for (const auto& [sigma, q, uses] : kSchedules) {
    const PrvCrossCheck check({{{PoissonSampledGaussian{sigma, q}}, uses}}, kAddRemove);
    PldAccountant accountant(kAddRemove);
    accountant.compose({PoissonSampledGaussian{sigma, q}}, uses);
    for (const double delta : {1e-2, 1e-4, 1e-6}) {
      const double epsilon = accountant.epsilon(delta);
      const Bracket second = check.delta(epsilon), got = accountant.delta_bracket(epsilon);
      EXPECT_LE(got.lower, second.upper) << sigma << " " << q << " " << uses << " " << epsilon;
      EXPECT_GE(got.upper, second.lower) << sigma << " " << q << " " << uses << " " << epsilon;
      EXPECT_GT(second.lower, delta / 4) << "a check that could not fail: " << sigma << " " << q << " " << uses;
      EXPECT_LT(second.upper, delta * 4) << "a check that could not fail: " << sigma << " " << q << " " << uses;
      const Bracket around = check.epsilon(delta);
      EXPECT_LE(around.lower, epsilon) << sigma << " " << q << " " << uses;
      EXPECT_GE(around.upper, accountant.epsilon_bracket(delta).lower) << sigma << " " << q << " " << uses;
      EXPECT_LE(around.upper - around.lower, 4 * check.error()) << sigma << " " << q << " " << uses;
    }
  }
}

TEST(PrvCrossCheck, HoldsTheClosedFormOfPlainGaussians) {
  // μ = 1: δ(1) = Φ(−1/2) − e Φ(−3/2) (Balle, Wang 2018, Theorem 8).
  const double truth = 0.5 * std::erfc(0.5 / std::sqrt(2.0)) - std::exp(1.0) * 0.5 * std::erfc(1.5 / std::sqrt(2.0));
  const Bracket got = PrvCrossCheck({{{Gaussian{2}}, 3}, {{Gaussian{2}}, 1}}, kAddRemove).delta(1);
  EXPECT_LE(got.lower, truth);
  EXPECT_GE(got.upper, truth);
  EXPECT_LE(got.upper - got.lower, 0.02 * truth);
}

TEST(PrvCrossCheck, RefusesWhatItDoesNotKnowAndAnswersNothingBelowWhatItLoses) {
  EXPECT_THROW(PrvCrossCheck({{{Laplace{1}}, 3}}, kAddRemove), Error);
  EXPECT_THROW(PrvCrossCheck({{{Gaussian{0.1}}, 3}}, kAddRemove), Error);
  EXPECT_THROW(PrvCrossCheck({{{Gaussian{1}}, 2'000'000}}, kAddRemove), Error);
  EXPECT_THROW(PrvCrossCheck({{{Gaussian{1}}, 1}}, NeighbouringRelation::replace_one), Error);
  EXPECT_THROW(PrvCrossCheck({}, kAddRemove), Error);
  EXPECT_TRUE(std::isinf(PrvCrossCheck({{{Gaussian{1}}, 1}}, kAddRemove).epsilon(1e-15).upper));
}

}  // namespace
}  // namespace sotto::accountants
