#include "accountants/rdp/closed_forms.h"

#include <gtest/gtest.h>

#include <cmath>

#include "accountants/accountant.h"
#include "accountants/pure_dp.h"
#include "accountants/rdp/curve.h"
#include "accountants/rdp/fixed_size_sampled.h"
#include "accountants/rdp/poisson_sampled.h"
#include "base/error.h"
#include "tests/accountants/reference.h"

namespace sotto::accountants {
namespace {

constexpr auto kAddRemove = NeighbouringRelation::add_remove, kReplaceOne = NeighbouringRelation::replace_one,
               kZeroOut = NeighbouringRelation::zero_out;

// Never below the truth, beyond the truth's own rounding, and above by no more than `slack` of it.
void expect_just_above(double got, double truth, double slack, const std::string& which) {
  EXPECT_GE(got, truth * (1 - 3e-16)) << which;
  EXPECT_LE(got, truth * (1 + slack)) << which;
}

TEST(RdpClosedForms, AreTheReferencesToTenDigits) {
  const auto cases = reference_cases("rdp_closed");
  ASSERT_GE(cases.size(), 5u);
  for (const auto& each : cases) {
    const auto& p = each["params"];
    const double epsilon = p["eps"], order = p["alpha"];
    expect_just_above(
        p["mechanism"] == "laplace" ? rdp_laplace(epsilon, order) : rdp_randomized_response(epsilon, 2, order),
        each["lower"], 1e-10, each["id"]);
  }
}

// The formulas of the header by mpmath at 50 digits; the discrete Laplace as a sum over the integers.
TEST(RdpClosedForms, AreRightWhereTheyCancelAndWhereTheyOverflow) {
  const struct {
    double epsilon, order, truth;
  } laplace[] = {{1e-06, 1.01, 5.049998316667079e-13}, {1e-06, 64, 3.1999989311832017e-11},
                 {0.05, 2.5, 0.0030688808083117965},   {1.0, 1.5, 0.5128835112945086},
                 {3.0, 17, 2.9585441114118585},        {20.0, 256, 19.997289442565788},
                 {700.0, 3, 699.744587188117}};
  // e^x − 1 − x at x = 1e-8 keeps 8 digits.
  for (const auto& c : laplace)
    expect_just_above(rdp_laplace(c.epsilon, c.order), c.truth, 1e-7, cat("laplace ", c.epsilon));
  const struct {
    double epsilon;
    int64_t categories;
    double order, truth;
  } response[] = {{1.0, 2, 8, 0.95524837405486441},
                  {1.0, 10, 8, 0.79164717709666159},
                  {0.01, 3, 1.1, 3.6727539447318164e-5},
                  {5.0, 100, 40, 4.986895906458312},
                  {600.0, 4, 3, 600.0}};
  for (const auto& c : response)
    expect_just_above(rdp_randomized_response(c.epsilon, c.categories, c.order), c.truth, 1e-10,
                      cat("response ", c.epsilon));
  const struct {
    double scale;
    int64_t shift;
    double order, truth;
  } discrete[] = {{2.0, 1, 2, 0.22733629380264573},
                  {10.0, 1, 1.5, 0.0074844186160418897},
                  {10.0, 7, 9.5, 0.62638544576209449},
                  {1.0, 3, 4.25, 2.9037194033385102},
                  {100.0, 1, 32, 0.0015742132033552996}};
  for (const auto& c : discrete)
    expect_just_above(rdp_discrete_laplace(c.scale, c.shift, c.order), c.truth, 1e-10, cat("discrete ", c.scale));
}

// Exact divergences of one-dimensional Skellam noise, from Bessel functions at 50 digits: the paper's bound lies above
// each, and near it for much noise.
TEST(RdpClosedForms, SkellamsBoundIsAboveItsExactDivergence) {
  const struct {
    int variance, shift, order;
    double truth;
  } cases[] = {{10, 1, 2, 0.099654438453542523},
               {10, 1, 5, 0.24074403426844179},
               {100, 3, 4, 0.17951781742783033},
               {4, 1, 16, 1.0791417508911322},
               {50, 2, 32, 1.0397726429206235}};
  for (const auto& c : cases) {
    const double got = rdp_skellam(c.variance, c.shift, c.shift, c.order);
    EXPECT_GE(got, c.truth) << c.variance << " " << c.order;
    if (c.variance >= 100) {
      EXPECT_LE(got, c.truth * 1.15) << c.variance << " " << c.order;
    }
    EXPECT_LE(rdp_skellam(c.variance, c.shift, c.shift, c.order - 0.5), got * (1 + 1e-14));
    EXPECT_GE(rdp_skellam(c.variance, c.shift, c.shift, c.order + 0.5), got);
  }
}

TEST(RdpClosedForms, NoneExceedsThePureEpsilonAndNoNoiseIsUnbounded) {
  for (const double epsilon : {1e-12, 1e-3, 1.0, 30.0, 1e4})
    for (const double order : {1.01, 2.0, 33.3, 65536.0}) {
      EXPECT_LE(rdp_laplace(epsilon, order), epsilon);
      EXPECT_LE(rdp_randomized_response(epsilon, 5, order), epsilon);
      EXPECT_LE(rdp_randomized_response(epsilon, 5, order), rdp_randomized_response(epsilon, 2, order));
      EXPECT_LE(rdp_laplace(epsilon, order), rdp_pure(epsilon, 2 * epsilon, order))
          << "dominated by the binary response";
      EXPECT_LE(rdp_pure(epsilon, epsilon, order), rdp_pure(epsilon, 2 * epsilon, order));
      EXPECT_LE(rdp_pure(epsilon, 2 * epsilon, order), order * epsilon * epsilon / 2 * (1 + 1e-14));
    }
  EXPECT_EQ(rdp_laplace(INFINITY, 2), INFINITY);
  EXPECT_EQ(rdp_discrete_laplace(0, 1, 2), INFINITY);
  EXPECT_EQ(rdp_skellam(0, 1, 1, 2), INFINITY);
  EXPECT_THROW(rdp_laplace(-1, 2), Error);
  EXPECT_THROW(rdp_laplace(1, 1), Error);
  EXPECT_THROW(rdp_gaussian(NAN, 2), Error);
}

// E_Q[(P/Q)^α] and E_P[(Q/P)^α] of sampled Laplace noise by mpmath's quadrature, the larger.
TEST(RdpPoissonSampled, IsAboveTheExactDivergenceOfSampledLaplaceNoise) {
  const struct {
    double scale, rate;
    int order;
    double truth;
  } cases[] = {{1.0, 0.1, 2, 0.00853645701948974},
               {1.0, 0.01, 8, 0.000349726910231109},
               {2.0, 0.3, 16, 0.116754186906802},
               {0.5, 0.001, 4, 7.8908517917662e-6},
               {5.0, 0.02, 64, 0.000485626910755156}};
  for (const auto& c : cases) {
    const Event event{PoissonSampled{c.rate, Event{Laplace{c.scale}}}};
    const double got = rdp_curve(event, kAddRemove, {static_cast<double>(c.order)}).front();
    EXPECT_GE(got, c.truth * (1 - 1e-14)) << c.scale << " " << c.rate;
    EXPECT_LE(got, c.truth * (1 + 1e-9)) << "noise is symmetric, so it is exact: " << c.scale << " " << c.rate;
    const auto laplace = [&](double order) { return rdp_laplace(1 / c.scale, order); };
    EXPECT_GE(rdp_poisson_sampled(c.rate, false, laplace, {static_cast<double>(c.order)}).front(), got * (1 - 1e-14));
    EXPECT_LE(got, rdp_laplace(1 / c.scale, c.order)) << "sampling only helps";
  }
}

TEST(RdpPoissonSampled, OfWhatNoReflectionSwapsIsTheGeneralTheorem) {
  // Zhu and Wang 2019, Theorem 6, written out at α = 3 for a mechanism of which only its pure ε is known.
  const double q = 0.1, epsilon = 0.4;
  const double r2 = rdp_pure(epsilon, 2 * epsilon, 2), r3 = rdp_pure(epsilon, 2 * epsilon, 3);
  const double sum =
      (1 - q) * (1 - q) * (1 + 2 * q) + 3 * q * q * (1 - q) * std::exp(r2) + 3 * q * q * q * std::exp(2 * r3);
  EXPECT_NEAR(rdp_curve({PoissonSampled{q, Event{EpsilonDelta{epsilon, 0}}}}, kAddRemove, {3})[0], std::log(sum) / 2,
              1e-11);
}

TEST(RdpPoissonSampled, GrowsWithRateAndOrderFromNothingToTheUnsampled) {
  const auto at = [](double rate, double order) {
    const auto curve = rdp_curve({PoissonSampled{rate, Event{Laplace{2}}}}, kAddRemove, {order, order + 0.4});
    EXPECT_LE(curve[0], curve[1]);
    return curve[0];
  };
  for (const double order : {1.01, 1.5, 2.0, 7.3, 100.0, 600.0}) {
    double before = 0;
    for (const double rate : {1e-9, 1e-4, 0.01, 0.3, 0.9, 0.999}) {
      EXPECT_GE(at(rate, order), before) << rate << " " << order;
      EXPECT_GT(at(rate, order), 0);
      before = at(rate, order);
    }
    EXPECT_LE(before, rdp_laplace(0.5, order) * (1 + 1e-14));
  }
}

// Mixtures that a batch without replacement does produce: a unit with contribution 1 replaced by one with −1, the
// others 0. E_Q[(P/Q)^α] of (1−γ) N(0, σ²) + γ N(±1, σ²) by mpmath's quadrature: the theorem's bound may not be below
// it.
TEST(RdpFixedSizeSampled, IsAboveTheExactDivergenceOfAPairThatHappens) {
  const struct {
    double sigma;
    int64_t batch, population;
    int order;
    double truth;
  } cases[] = {{2.0, 20, 1000, 2, 0.000401694973885622},
               {2.0, 20, 1000, 8, 0.0016107376546706},
               {4.0, 500, 1000, 3, 0.0923119459550719},
               {1.0, 1, 1000, 4, 9.37338427661564e-6},
               {5.0, 100, 400, 32, 0.167513093925107}};
  for (const auto& c : cases) {
    const Event event{FixedSizeSampled{c.batch, c.population, false, Event{Gaussian{c.sigma}}}};
    const double got = rdp_curve(event, kReplaceOne, {static_cast<double>(c.order)}).front();
    EXPECT_GE(got, c.truth) << c.sigma << " " << c.batch;
    EXPECT_LE(got, rdp_gaussian(2 / c.sigma, c.order) * (1 + 1e-14)) << "sampling only helps";
  }
}

TEST(RdpFixedSizeSampled, IsTheTheoremWrittenOut) {
  // α = 3, γ = 1/50, σ = 4 under replace_one: R(l) = l · (2/4)² / 2, and no pure ε.
  const double g = 0.02, r2 = 0.25, r3 = 0.375;
  const double sum = 1 + 3 * g * g * std::min(4 * std::expm1(r2), 2 * std::exp(r2)) + g * g * g * 2 * std::exp(2 * r3);
  const Event gaussian{FixedSizeSampled{20, 1000, false, Event{Gaussian{4}}}};
  EXPECT_NEAR(rdp_curve(gaussian, kReplaceOne, {3})[0], std::log(sum) / 2, 1e-13);
  // With a pure ε of 0.1 the powers of e^ε − 1 are less.
  const double s2 = rdp_pure(0.1, 0.2, 2), s3 = rdp_pure(0.1, 0.2, 3), p = std::expm1(0.1);
  const double pure = 1 + 3 * g * g * std::exp(s2) * p * p + g * g * g * std::exp(2 * s3) * p * p * p;
  const Event known{FixedSizeSampled{20, 1000, false, Event{EpsilonDelta{0.1, 0}}}};
  EXPECT_NEAR(rdp_curve(known, kReplaceOne, {3})[0], std::log(pure) / 2, 1e-15);
}

TEST(RdpFixedSizeSampled, AllOfThePopulationIsNoSampling) {
  const Event event{FixedSizeSampled{100, 100, false, Event{Gaussian{3}}}};
  EXPECT_NEAR(rdp_curve(event, kReplaceOne, {4})[0], rdp_gaussian(2.0 / 3, 4), 1e-14);
}

TEST(RdpCurve, KnowsWhatItKnowsUnderEachRelation) {
  const auto knows = [](const Event& event) {
    return std::string(has_rdp_curve(event, kAddRemove) ? "a" : "-") + (has_rdp_curve(event, kZeroOut) ? "z" : "-") +
           (has_rdp_curve(event, kReplaceOne) ? "r" : "-");
  };
  EXPECT_EQ(knows({Laplace{1}}), "azr");
  EXPECT_EQ(knows({DiscreteGaussian{1, 1}}), "azr");
  EXPECT_EQ(knows({Skellam{1, 1, 1}}), "azr");
  EXPECT_EQ(knows({ExponentialMechanism{1, false}}), "azr");
  EXPECT_EQ(knows({RandomizedResponse{1, 2}}), "--r");
  EXPECT_EQ(knows({EpsilonDelta{1, 0}}), "azr");
  EXPECT_EQ(knows({EpsilonDelta{1, 1e-9}}), "---") << "no order is finite";
  EXPECT_EQ(knows({Unsupported{"x"}}), "---");
  EXPECT_EQ(knows({PoissonSampled{0.1, Event{Laplace{1}}}}), "az-");
  EXPECT_EQ(knows({PoissonSampled{0.1, Event{EpsilonDelta{1, 0}}}}), "a--");
  EXPECT_EQ(knows({PoissonSampled{0.1, Event{RandomizedResponse{1, 2}}}}), "---");
  EXPECT_EQ(knows({PoissonSampled{0.1, Event{Unsupported{"x"}}}}), "---");
  EXPECT_EQ(knows({FixedSizeSampled{1, 9, false, Event{Laplace{1}}}}), "--r");
  EXPECT_EQ(knows({FixedSizeSampled{1, 9, true, Event{Laplace{1}}}}), "---");
  EXPECT_EQ(knows({FixedSizeSampled{1, 9, false, Event{Unsupported{"x"}}}}), "---");
}

TEST(RdpCurve, ReplacingMovesASumTwiceAsFar) {
  const auto at = [](const Event& event, NeighbouringRelation relation) { return rdp_curve(event, relation, {3})[0]; };
  EXPECT_EQ(at({Laplace{4}}, kReplaceOne), at({Laplace{2}}, kAddRemove));
  EXPECT_EQ(at({DiscreteLaplace{4, 3}}, kReplaceOne), at({DiscreteLaplace{4, 6}}, kZeroOut));
  EXPECT_EQ(at({DiscreteGaussian{4, 1}}, kReplaceOne), at({DiscreteGaussian{2, 1}}, kAddRemove));
  EXPECT_EQ(at({Skellam{9, 1, 1}}, kReplaceOne), at({Skellam{9, 2, 2}}, kAddRemove));
  EXPECT_EQ(at({Staircase{0.5, 0.2}}, kReplaceOne), at({Staircase{1, 0.2}}, kAddRemove));
  EXPECT_NEAR(at({DiscreteGaussian{2, 1}}, kAddRemove), at({Gaussian{2}}, kAddRemove), 1e-14);
}

TEST(RdpCurve, ATreeIsWithinTenPercentOfTheExactGaussian) {
  for (const auto& each : reference_cases("tree_aggregation")) {
    const auto& p = each["params"];
    const auto accountant = make_accountant("rdp", kZeroOut);
    accountant->compose({TreeAggregation{p["sigma"], p["steps_per_epoch"]}}, p.value("epochs", 1));
    EXPECT_GE(accountant->epsilon(p["delta"]), each["lower"].get<double>()) << each;
    EXPECT_LE(accountant->epsilon(p["delta"]), each["upper"].get<double>() * 1.1) << each;
  }
}

TEST(PureDp, IsWhatTheMechanismsPromise) {
  const auto epsilon = [](const Event& event, NeighbouringRelation relation = kAddRemove) {
    return pure_dp(event, relation).value().epsilon;
  };
  EXPECT_EQ(epsilon({Laplace{4}}), 0.25);
  EXPECT_EQ(epsilon({Laplace{4}}, kReplaceOne), 0.5);
  EXPECT_EQ(epsilon({Laplace{0}}), INFINITY);
  EXPECT_EQ(epsilon({DiscreteLaplace{8, 2}}), 0.25);
  EXPECT_EQ(epsilon({ReportNoisyMax{4, false}}), 0.5);
  EXPECT_EQ(epsilon({ReportNoisyMax{4, true}}, kReplaceOne), 0.25);
  EXPECT_NEAR(epsilon({SparseVector{2, 8, 3, false}}), 0.5 + 0.75, 1e-15);
  EXPECT_GE(epsilon({SparseVector{2, 8, 3, true}}), 0.5 + 0.375);
  EXPECT_EQ(pure_dp({ExponentialMechanism{0.3, false}}, kAddRemove)->range, 0.3);
  EXPECT_EQ(pure_dp({Laplace{4}}, kAddRemove)->range, 0.5);
  EXPECT_FALSE(pure_dp({RandomizedResponse{1, 2}}, kAddRemove));
  EXPECT_FALSE(pure_dp({EpsilonDelta{1, 1e-5}}, kAddRemove));
  EXPECT_FALSE(pure_dp({Gaussian{1}}, kAddRemove));
}

}  // namespace
}  // namespace sotto::accountants
