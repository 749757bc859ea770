#include "accountants/rdp/sampled_gaussian.h"

#include <gtest/gtest.h>

#include <cmath>

#include "accountants/rdp/curve.h"
#include "accountants/rdp/orders.h"
#include "base/error.h"
#include "tests/accountants/reference.h"

namespace sotto::accountants {
namespace {

// E_Q[(P/Q)^α] by its binomial expansion in long double: exact for integer orders up to rounding, when A − 1 is not
// small.
long double binomial_rdp(long double sigma, long double q, int order) {
  long double sum = 0;
  for (int k = 0; k <= order; ++k)
    sum += std::exp(std::lgamma(order + 1.0L) - std::lgamma(k + 1.0L) - std::lgamma(order - k + 1.0L) +
                    k * std::log(q) + (order - k) * std::log1p(-q) + k * (k - 1) / (2 * sigma * sigma));
  return std::log(sum) / (order - 1);
}

TEST(RdpSampledGaussian, Is1e10CloseToThirtyDigitsAndNeverBelow) {
  const auto cases = reference_cases("rdp_sampled_gaussian");
  ASSERT_GT(cases.size(), 25u);
  for (const auto& each : cases) {
    const auto& p = each["params"];
    const double got = rdp_sampled_gaussian(p["sigma"], p["q"], p["alpha"]), truth = each["lower"];
    // The references are rounded to double, so "never below" is up to one rounding of theirs.
    EXPECT_GE(got, truth * (1 - 2.3e-16)) << each;
    EXPECT_LE(got, truth * (1 + 1e-10)) << each;
  }
}

TEST(RdpSampledGaussian, WhereOnePeerIsInfiniteAndAnother73PercentHighItIsExact) {
  EXPECT_NEAR(rdp_sampled_gaussian(2, 0.5, 1.5), 0.04981937763209318, 5e-11);
  EXPECT_NEAR(rdp_sampled_gaussian(4, 0.1, 1.5), 0.00048213448232297583, 5e-13);
}

TEST(RdpSampledGaussian, BothFormulasAgreeWithTheBinomialSum) {
  for (const double sigma : {0.5, 1.0, 3.0, 20.0, 200.0})
    for (const double q : {0.05, 0.5, 0.99})
      for (const int order : {2, 3, 17, 150, 900}) {
        const double truth = static_cast<double>(binomial_rdp(sigma, q, order));
        if (!std::isfinite(truth)) continue;
        // 1e-7 at small A − 1, where the test's own sum cancels: it subtracts 1 implicitly.
        const double tolerance = 1e-9 * truth + 1e-16 * order;
        EXPECT_NEAR(rdp_sampled_gaussian(sigma, q, order), truth, tolerance) << sigma << " " << q << " " << order;
      }
}

TEST(RdpSampledGaussian, IsContinuousInTheOrderAcrossIntegerAndFractionalFormulas) {
  for (const double sigma : {0.15, 0.7, 1.0, 5.0})
    for (const double q : {1e-6, 0.01, 0.6})
      for (const int order : {2, 5, 9, 33}) {
        const double at = rdp_sampled_gaussian(sigma, q, order);
        const double below = rdp_sampled_gaussian(sigma, q, order - 1e-9),
                     above = rdp_sampled_gaussian(sigma, q, order + 1e-9);
        // (α−1)R grows by at most its slope, ≤ (α/σ)² here, times the 1e-9 of the step, relative to R; plus two
        // margins.
        const double tolerance = at * 2e-6 + 1e-9 * order * order / sigma / sigma;
        EXPECT_NEAR(below, at, tolerance) << sigma << " " << q << " " << order;
        EXPECT_NEAR(above, at, tolerance) << sigma << " " << q << " " << order;
        EXPECT_LE(below, at * (1 + 3e-9));
        EXPECT_GE(above, at * (1 - 3e-9));
      }
}

TEST(RdpSampledGaussian, GrowsWithOrderAndRateAndFallsWithNoise) {
  for (const double sigma : {0.05, 0.3, 1.0, 4.0, 50.0})
    for (const double q : {1e-7, 1e-3, 0.1, 0.9}) {
      double previous = 0;
      for (const double order : {1.01, 1.3, 2.0, 2.5, 7.9, 8.0, 31.4, 64.0, 511.0, 4096.0, 5000.0}) {
        const double at = rdp_sampled_gaussian(sigma, q, order);
        EXPECT_GT(at, 0);
        EXPECT_TRUE(std::isfinite(at));
        EXPECT_GE(at, previous * (1 - 1e-9)) << sigma << " " << q << " " << order;
        EXPECT_GE(at, rdp_sampled_gaussian(sigma * 1.1, q, order) * (1 - 1e-9)) << sigma << " " << q << " " << order;
        EXPECT_LE(at, rdp_sampled_gaussian(sigma, std::min(1.0, q * 1.1), order) * (1 + 1e-9))
            << sigma << " " << q << " " << order;
        EXPECT_LE(at, order / (2 * sigma * sigma) * (1 + 1e-9)) << "sampling must not hurt";
        previous = at;
      }
    }
}

TEST(RdpSampledGaussian, EdgesAreExact) {
  EXPECT_EQ(rdp_sampled_gaussian(1, 0, 2), 0);
  EXPECT_EQ(rdp_sampled_gaussian(0, 0, 2), 0);
  EXPECT_EQ(rdp_sampled_gaussian(0, 0.1, 2), INFINITY);
  EXPECT_NEAR(rdp_sampled_gaussian(3, 1, 7), 7 / 18.0, 1e-14);
  EXPECT_GT(rdp_sampled_gaussian(1, 1e-300, 1.5), 0) << "a tiny rate costs something";
  EXPECT_GT(rdp_sampled_gaussian(1e200, 0.5, 1.5), 0) << "huge noise costs something";
}

TEST(RdpSampledGaussian, RefusesWhatItsFormulaDoesNotCover) {
  for (const auto& [sigma, q, order] : {std::tuple{-1.0, 0.5, 2.0},
                                        {NAN, 0.5, 2.0},
                                        {1.0, 1.1, 2.0},
                                        {1.0, NAN, 2.0},
                                        {1.0, 0.5, 1.0},
                                        {1.0, 0.5, NAN},
                                        {1.0, 0.5, 1e9}})
    EXPECT_THROW(rdp_sampled_gaussian(sigma, q, order), Error) << sigma << " " << q << " " << order;
}

TEST(RdpCurve, ReplacingAUnitDoublesTheSensitivityOfAPlainGaussian) {
  const auto add = rdp_curve(Event{Gaussian{3}}, NeighbouringRelation::add_remove, default_orders());
  const auto replace = rdp_curve(Event{Gaussian{3}}, NeighbouringRelation::replace_one, default_orders());
  for (size_t i = 0; i < add.size(); ++i) EXPECT_NEAR(replace[i], 4 * add[i], 1e-12 * replace[i]);
  EXPECT_THROW(rdp_curve(Event{PoissonSampledGaussian{1, 0.1}}, NeighbouringRelation::replace_one, {2.0}), Error);
}

}  // namespace
}  // namespace sotto::accountants
