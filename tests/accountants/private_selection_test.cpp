#include "accountants/private_selection.h"

#include <gtest/gtest.h>

#include <cmath>

#include "accountants/rdp/conversion.h"
#include "accountants/rdp/orders.h"
#include "accountants/rdp/rdp_accountant.h"
#include "base/error.h"
#include "tests/accountants/reference.h"

namespace sotto::accountants {
namespace {

RdpCurve gaussian(double sigma) {
  RdpCurve curve;
  for (const double order : default_orders()) curve.push_back(order / 2 / sigma / sigma);
  return curve;
}

TEST(PrivateSelection, IsNeverAboveThePeersAndAboveOneRun) {
  const auto cases = reference_cases("repeat_and_select");
  ASSERT_GE(cases.size(), 2u);
  for (const auto& each : cases) {
    const auto& p = each["params"];
    RdpAccountant run(NeighbouringRelation::add_remove);
    run.compose({PoissonSampledGaussian{p["sigma"], p["q"]}}, p["steps"]);
    const auto selected =
        private_selection(default_orders(), run.table(), TruncatedNegativeBinomial{p["shape"], p["mean"]});
    const double got = epsilon_from_rdp(default_orders(), selected, p["delta"]);
    EXPECT_LE(got, each["upper"].get<double>() * (1 + 1e-3)) << each;
    EXPECT_GT(got, run.epsilon(p["delta"]) * 1.2) << each;
  }
}

TEST(PrivateSelection, IsTheTheoremWithBothOrdersOptimised) {
  // Theorem 2 for a Gaussian and a geometric number of runs, both orders optimised over the reals by mpmath.
  const struct {
    double sigma, mean, delta, epsilon;
  } cases[] = {{2, 10, 1e-5, 4.3150592031565423}, {5, 100, 1e-9, 2.4847575291208717}};
  for (const auto& c : cases) {
    const auto selected = private_selection(default_orders(), gaussian(c.sigma), TruncatedNegativeBinomial{1, c.mean});
    const double got = epsilon_from_rdp(default_orders(), selected, c.delta);
    EXPECT_GE(got, c.epsilon * (1 - 1e-14));
    EXPECT_LE(got, c.epsilon * (1 + 1e-3));
  }
}

TEST(PrivateSelection, GammaHasTheMean) {
  EXPECT_NEAR(selection_gamma({1, 10}), 0.1, 1e-14);                                              // geometric
  EXPECT_NEAR((1 / selection_gamma({0, 7}) - 1) / -std::log(selection_gamma({0, 7})), 7, 1e-12);  // logarithmic
  for (const double shape : {-0.5, 0.5, 2.0}) {
    const double gamma = selection_gamma({shape, 20});
    EXPECT_NEAR(shape * (1 - gamma) / gamma / (1 - std::pow(gamma, shape)), 20, 1e-10) << shape;
  }
}

TEST(PrivateSelection, OfPoissonRunsIsTheTheorem) {
  // At order 3 with R = 3/8: ε̂ = log 1.5, and δ̂ = e^{2 (R − ε̂)} (2/3)² / 3 by the conversion of Canonne, Kamath,
  // Steinke.
  const double epsilon = std::log(1.5), lost = std::exp(2 * (0.375 - epsilon)) * 4 / 27;
  EXPECT_NEAR(private_selection({3}, {0.375}, PoissonRuns{5})[0], 0.375 + std::log(5) / 2 + 5 * lost, 1e-11);
}

TEST(PrivateSelection, BadArgumentsAreNamed) {
  for (const double bad : {1.0, 0.0, -1.0, static_cast<double>(NAN), static_cast<double>(INFINITY)})
    EXPECT_THROW(private_selection({2}, {1}, TruncatedNegativeBinomial{1, bad}), Error) << bad;
  EXPECT_THROW(private_selection({2}, {1}, TruncatedNegativeBinomial{-1, 10}), Error);
  EXPECT_THROW(private_selection({2}, {1}, PoissonRuns{0.5}), Error);
  EXPECT_THROW(private_selection({2, 3}, {1}, PoissonRuns{2}), Error);
  EXPECT_EQ(private_selection({2}, {INFINITY}, TruncatedNegativeBinomial{1, 10})[0], INFINITY);
}

}  // namespace
}  // namespace sotto::accountants
