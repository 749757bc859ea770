#include <gtest/gtest.h>

#include <cmath>

#include "accountants/calibrate.h"
#include "accountants/pld/analytic_gaussian.h"
#include "accountants/pld/pld_accountant.h"
#include "accountants/pld/sampled_gaussian_law.h"
#include "base/error.h"
#include "tests/accountants/reference.h"

namespace sotto::accountants {
namespace {

using Part = std::tuple<double, double, int64_t>;  // noise multiplier, sample rate, count

PldAccountant composed(const std::vector<Part>& parts, double gap = 1e-3) {
  PldAccountant accountant(NeighbouringRelation::add_remove, {.relative_gap = gap});
  for (const auto& [noise, rate, count] : parts) accountant.compose({PoissonSampledGaussian{noise, rate}}, count);
  return accountant;
}

PldAccountant from_params(const nlohmann::json& params, double gap = 1e-3) {
  std::vector<Part> parts;
  if (params.contains("parts"))
    for (const auto& part : params["parts"]) parts.emplace_back(part[1], part[2], part[3]);
  else
    parts.emplace_back(params["sigma"], params["q"], params["steps"]);
  return composed(parts, gap);
}

// The references are float64, good to about 1e-9.
void expect_meets(const Bracket& got, const nlohmann::json& reference) {
  EXPECT_GE(got.upper, reference["lower"].get<double>() * (1 - 1e-9)) << reference;
  EXPECT_LE(got.lower, reference["upper"].get<double>() * (1 + 1e-9)) << reference;
  EXPECT_LE(got.lower, got.upper) << reference;
}

TEST(PldAccountant, BracketsMeetTheReferencesFromBothSidesAndAreAsNarrowAsAsked) {
  for (const char* family : {"sampled_gaussian", "delta_sweep", "heterogeneous"})
    for (const auto& each : reference_cases(family)) {
      const Bracket got = from_params(each["params"]).epsilon_bracket(each["params"]["delta"]);
      expect_meets(got, each);
      EXPECT_LE(got.upper - got.lower, 1e-3 * got.upper) << each;
    }
}

TEST(PldAccountant, DeltaBracketsMeetTheReferences) {
  for (const auto& each : reference_cases("delta_for_epsilon")) {
    const Bracket got = from_params(each["params"]).delta_bracket(each["params"]["epsilon"]);
    expect_meets(got, each);
    EXPECT_LE(got.upper - got.lower, 1e-3 * got.upper) << each;
  }
}

TEST(PldAccountant, PreciseBracketsLieWithinTheLooseOnes) {
  for (const auto& [noise, rate, steps, delta] : {std::tuple{1.0, 0.01, 10000, 1e-5},
                                                  {1.0, 0.01, 10000, 1e-12},
                                                  {2.0, 0.5, 100, 1e-5},
                                                  {0.8, 0.004096, 2441, 4e-6}}) {
    const Bracket loose = composed({{noise, rate, steps}}).epsilon_bracket(delta);
    const Bracket precise = composed({{noise, rate, steps}}, 1e-5).epsilon_bracket(delta);
    EXPECT_LE(precise.upper - precise.lower, 1e-5 * precise.upper) << noise << " " << rate;
    EXPECT_LE(precise.upper, loose.upper * (1 + 1e-9));
    EXPECT_GE(precise.lower, loose.lower * (1 - 1e-9));
  }
}

TEST(PldAccountant, APeersFastFourierNoiseDoesNotMakeItUnsafe) {
  // dp-accounting 0.6.0 reports 10.277 as an upper bound here.
  const Bracket got = composed({{1, 0.01, 10000}}).epsilon_bracket(1e-12);
  EXPECT_GE(got.upper, 10.34668);
  EXPECT_LE(got.lower, 10.34671);
  // and an infinite ε below δ = 1e-15
  EXPECT_LT(composed({{1, 0.01, 10000}}).epsilon_bracket(1e-30).upper, 20);
}

TEST(PldAccountant, TinySamplingRatesAreNotOverstated) {
  // With a fixed grid a peer reports 2.3 times this, RDP 9.7 times.
  const Bracket got = composed({{1, 1e-5, 1000000}}).epsilon_bracket(1e-5);
  EXPECT_LE(got.upper, 0.0368843 * 1.001);
  EXPECT_GE(got.lower, 0.0368830 * 0.999);
}

// δ of one use straight from the definition, in long double: ∫ max(0, P − e^ε Q) and ∫ max(0, Q − e^ε P).
long double one_use(long double sigma, long double q, long double epsilon) {
  long double remove = 0, add = 0;
  const long double width = 1e-5L * sigma;
  for (long double x = -14 * sigma; x < 14 * sigma + 1; x += width) {
    const long double density = std::exp(-x * x / (2 * sigma * sigma));
    const long double ratio = 1 - q + q * std::exp((2 * x - 1) / (2 * sigma * sigma));
    remove += density * std::max(0.0L, ratio - std::exp(epsilon));
    add += density * std::max(0.0L, 1 - std::exp(epsilon) * ratio);
  }
  return std::max(remove, add) * width / (sigma * std::sqrt(2 * std::acos(-1.0L)));
}

TEST(PldAccountant, OneUseAgreesWithItsDefinitionInLongDouble) {
  for (const auto& [sigma, q, epsilon] : {std::tuple{1.0, 0.01, 0.02},
                                          {1.0, 0.3, 0.5},
                                          {0.5, 0.1, 2.0},
                                          {4.0, 0.9, 0.1},
                                          {1.0, 0.5, 0.001},
                                          {0.3, 0.01, 6.0}}) {
    const long double truth = one_use(sigma, q, epsilon);
    const Bracket got = composed({{sigma, q, 1}}, 1e-4).delta_bracket(epsilon);
    // The midpoint rule is off by less than 1e-9 at its one kink.
    EXPECT_GE(got.upper, truth * (1 - 1e-8L)) << sigma << " " << q << " " << epsilon;
    EXPECT_LE(got.lower, truth * (1 + 1e-8L)) << sigma << " " << q << " " << epsilon;
    EXPECT_LE(got.upper - got.lower, 1e-3 * got.upper) << sigma << " " << q << " " << epsilon;
  }
}

TEST(PldAccountant, AGaussianOnTheGridAgreesWithTheClosedForm) {
  for (const auto& [sigma, steps, delta] :
       {std::tuple{1.0, 1, 1e-5}, {5.0, 20, 1e-20}, {1.0, 100, 1e-5}, {0.5, 1, 1e-10}}) {
    const Bracket exact = gaussian_epsilon(std::sqrt(steps) / sigma, delta);
    const Bracket got = epsilon_bracket({{std::make_shared<SampledGaussianLaw>(sigma, 1), steps}}, delta, {});
    EXPECT_GE(got.upper, exact.lower);
    EXPECT_LE(got.lower, exact.upper);
    EXPECT_LE(got.upper - got.lower, 1e-3 * got.upper);
  }
}

TEST(AnalyticGaussian, LandsOnFortyDigitReferences) {
  const auto cases = reference_cases("gdp");
  ASSERT_GE(cases.size(), 7u);
  for (const auto& each : cases) {
    const auto& p = each["params"];
    const Bracket got =
        each["quantity"] == "delta" ? gaussian_delta(p["mu"], p["epsilon"]) : gaussian_epsilon(p["mu"], p["delta"]);
    const double truth = each["lower"];
    EXPECT_LE(got.lower, truth * (1 + 2.3e-16)) << each;
    EXPECT_GE(got.upper, truth * (1 - 2.3e-16)) << each;
    EXPECT_LE(got.upper - got.lower, 1e-9 * truth) << each;
  }
}

TEST(AnalyticGaussian, ItsFormulasAgreeWhereOneTakesOverFromTheOther) {
  for (const double epsilon : {0.0, 0.1, 1.0, 4.0, 9.0}) {
    const Bracket small = gaussian_delta(0.5, epsilon), large = gaussian_delta(std::nextafter(0.5, 1), epsilon);
    if (small.upper < 1e-300) continue;
    EXPECT_NEAR(small.upper / large.upper, 1, 1e-11) << epsilon;
  }
  EXPECT_EQ(gaussian_epsilon(1e-6, 1e-5).upper, 0) << "total variation 4e-7 is below delta";
  for (const double mu : {1e-9, 1e-3, 0.4, 2.0, 50.0, 3000.0})
    for (const double delta : {1e-300, 1e-30, 1e-5, 0.4}) {
      const Bracket got = gaussian_epsilon(mu, delta);
      EXPECT_TRUE(std::isfinite(got.upper) && got.lower <= got.upper && got.lower >= 0) << mu << " " << delta;
      if (got.lower > 0) {
        EXPECT_LE(got.upper - got.lower, 1e-6 * got.upper) << mu << " " << delta;
      }
    }
}

TEST(PldAccountant, BothNeighboursCountWhereAddingIsTheWorseOne) {
  // One use at ε = 0.02 and q = 1/2: removing gives a larger δ at large ε, adding at none; the maximum is what counts.
  // At a δ near 0.2 the pair's two directions differ: total variation is common, so both meet at ε = 0.
  const double epsilon = 0.05;
  const Bracket got = composed({{0.5, 0.9, 1}}, 1e-4).delta_bracket(epsilon);
  EXPECT_GE(got.upper, one_use(0.5, 0.9, epsilon) * (1 - 1e-8L));
  EXPECT_LE(got.lower, one_use(0.5, 0.9, epsilon) * (1 + 1e-8L));
}

// Gaussians that the machinery of grids is not told to be one, and sums whose δ is near the least double.
TEST(PldAccountant, DeltaFarInTheTailIsKnownFromBothSides) {
  for (const double epsilon : {10.0, 20.0, 30.0, 36.0}) {
    const Bracket truth = gaussian_delta(1, epsilon);
    const Bracket got = delta_bracket({{std::make_shared<SampledGaussianLaw>(20, 1), 400}}, epsilon, {});
    EXPECT_GE(got.upper, truth.lower) << epsilon;
    EXPECT_LE(got.lower, truth.upper) << epsilon;
    EXPECT_LE(got.upper - got.lower, 1e-2 * got.upper) << epsilon << " " << got.lower << " " << got.upper;
  }
  for (const double epsilon : {5.0, 10.0, 15.0, 20.0, 50.0, 70.0}) {
    const Bracket got = composed({{1, 0.01, 1000}}).delta_bracket(epsilon);
    EXPECT_LE(got.upper - got.lower, 1e-2 * got.upper) << epsilon << " " << got.lower << " " << got.upper;
    EXPECT_LT(got.upper, std::exp(-3 * epsilon)) << epsilon;
  }
  for (const double epsilon : {100.0, 500.0})
    EXPECT_LE(composed({{1, 0.01, 1000}}).delta_bracket(epsilon).upper, 1e-280) << epsilon;
}

TEST(PldAccountant, ExtremesGiveABracketAndNeverNan) {
  for (const double sigma : {0.2, 1.0, 1000.0})
    for (const double q : {1e-6, 0.01, 1.0})
      for (const int64_t steps : {int64_t{1}, int64_t{10'000}, int64_t{100'000'000}}) {
        const PldAccountant accountant = composed({{sigma, q, steps}}, 1e-2);
        for (const double delta : {1e-30, 1e-6}) {
          const Bracket got = accountant.epsilon_bracket(delta);
          EXPECT_TRUE(std::isfinite(got.upper) && 0 <= got.lower && got.lower <= got.upper)
              << sigma << " " << q << " " << steps << " " << delta << ": " << got.lower << " " << got.upper;
        }
        for (const double epsilon : {1e-6, 500.0}) {
          const Bracket got = accountant.delta_bracket(epsilon);
          EXPECT_TRUE(0 <= got.lower && got.lower <= got.upper && 0 < got.upper && got.upper <= 1)
              << sigma << " " << q << " " << steps << " " << epsilon << ": " << got.lower << " " << got.upper;
        }
      }
}

TEST(PldAccountant, GrowsWithStepsAndRateAndFallsWithNoise) {
  const Bracket base = composed({{1, 0.01, 1000}}, 1e-4).epsilon_bracket(1e-6);
  EXPECT_GT(composed({{1, 0.01, 1010}}, 1e-4).epsilon_bracket(1e-6).lower, base.upper);
  EXPECT_GT(composed({{1, 0.0101, 1000}}, 1e-4).epsilon_bracket(1e-6).lower, base.upper);
  EXPECT_LT(composed({{1.01, 0.01, 1000}}, 1e-4).epsilon_bracket(1e-6).upper, base.lower);
  EXPECT_LT(composed({{1, 0.01, 1000}}, 1e-4).epsilon_bracket(1.1e-6).upper, base.lower);
}

TEST(PldAccountant, SplittingARunIntoPartsChangesNothing) {
  const Bracket whole = composed({{1, 0.01, 1000}}).epsilon_bracket(1e-6);
  const Bracket parts = composed({{1, 0.01, 300}, {1, 0.01, 700}}).epsilon_bracket(1e-6);
  EXPECT_EQ(whole.upper, parts.upper);
  EXPECT_EQ(whole.lower, parts.lower);
  // Two laws that are almost the same go through the product of spectra.
  const Bracket product = composed({{1, 0.01, 300}, {1, 0.010000001, 700}}, 1e-4).epsilon_bracket(1e-6);
  EXPECT_NEAR(product.upper, whole.upper, 1e-3 * whole.upper);
  EXPECT_GE(product.upper, whole.lower);
  EXPECT_LE(product.lower, whole.upper);
}

TEST(PldAccountant, EpsilonOfDeltaAndDeltaOfEpsilonAgree) {
  for (const double delta : {1e-20, 1e-9, 1e-5, 0.01}) {
    const PldAccountant accountant = composed({{1, 0.02, 500}});
    const Bracket epsilon = accountant.epsilon_bracket(delta);
    EXPECT_LE(accountant.delta_bracket(epsilon.upper).lower, delta);
    EXPECT_GE(accountant.delta_bracket(epsilon.lower).upper, delta);
  }
}

TEST(PldAccountant, StopsWhereTheBudgetIsMet) {
  for (const auto& each : reference_cases("stop_at_budget")) {
    const auto& p = each["params"];
    const int64_t steps = max_steps(p["budget_epsilon"], p["delta"], p["sigma"], p["q"], "pld");
    EXPECT_GE(steps, each["lower"].get<int64_t>()) << each;
    EXPECT_LE(steps, each["upper"].get<int64_t>()) << each;
    // The proof that one more is too many.
    EXPECT_GT(
        composed({{p["sigma"], p["q"], each["upper"].get<int64_t>() + 1}}, 1e-5).epsilon_bracket(p["delta"]).lower,
        p["budget_epsilon"].get<double>())
        << each;
  }
}

TEST(PldAccountant, CannotLimitARun) {
  try {
    make_accountant("pld", NeighbouringRelation::add_remove);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("fixed in advance"), std::string::npos);
  }
}

TEST(PldAccountant, RefusesWhatItHasNoDominatingPairFor) {
  PldAccountant accountant(NeighbouringRelation::add_remove);
  EXPECT_THROW(accountant.compose({PoissonSampledDiscreteGaussian{1, 0.1}}), Error);
  PldAccountant replace(NeighbouringRelation::replace_one);
  EXPECT_THROW(replace.compose({FixedSizeSampled{10, 100, true, Event{Gaussian{1}}}}), Error);
  replace.compose({Gaussian{1}});
  EXPECT_NEAR(replace.epsilon(1e-5), 9.9972561464343, 1e-8) << "sensitivity 2";
}

}  // namespace
}  // namespace sotto::accountants
