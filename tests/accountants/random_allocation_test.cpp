#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "accountants/pld/event_law.h"
#include "accountants/pld/pld_accountant.h"
#include "accountants/pld/ratio_sum.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr auto kAddRemove = NeighbouringRelation::add_remove;
constexpr auto kZeroOut = NeighbouringRelation::zero_out;
constexpr auto kReplaceOne = NeighbouringRelation::replace_one;

PldAccountant allocated(const Event& event, int64_t steps, int64_t epochs, NeighbouringRelation relation = kAddRemove) {
  PldAccountant accountant(relation);
  accountant.compose({RandomAllocation{steps, 1, event}}, epochs);
  return accountant;
}

TEST(RandomAllocation, TwoStepsAgreeWithNumericalIntegration) {
  // E max(0, (X_1 + X_2)/2 − e^ε) and E max(0, 1 − e^ε (X_1 + X_2)/2), X_i lognormal of mean 1, the inner expectation
  // in closed form, the outer by mp.quad (mpmath 1.3, 20 digits); the larger one.
  const struct {
    double sigma, epsilon, delta;
  } kKnown[] = {{3, 0.5, 0.0020699049290185930}, {1, 1.0, 0.059206501085892653}};
  for (const auto& [sigma, epsilon, delta] : kKnown) {
    const Bracket got = allocated({Gaussian{sigma}}, 2, 1).delta_bracket(epsilon);
    EXPECT_GE(got.upper, delta) << sigma;
    EXPECT_LE(got.lower, delta) << sigma;
    EXPECT_LE(got.upper - got.lower, 0.02 * delta) << sigma;
  }
}

TEST(RandomAllocation, BracketsMeetThoseOfThePublishedAccountantAndAreNarrower) {
  // PLD_accounting 2.0 (Feldman, Shenfeld), gaussian_allocation_epsilon_range at its default accuracy.
  const struct {
    double sigma;
    int64_t steps, epochs;
    double delta, lower, upper;
  } kPublished[] = {{1, 1000, 1, 1e-6, 0.16865279019689836, 0.17568649056940722},
                    {2, 50, 50, 1e-6, 2.375199171933709, 2.4639402505336143}};
  for (const auto& [sigma, steps, epochs, delta, lower, upper] : kPublished)
    for (const auto relation : {kAddRemove, kZeroOut}) {
      const Bracket got = allocated({Gaussian{sigma}}, steps, epochs, relation).epsilon_bracket(delta);
      EXPECT_GE(got.upper, lower) << sigma;
      EXPECT_LE(got.lower, upper) << sigma;
      EXPECT_LE(got.upper - got.lower, (upper - lower) / 5) << sigma;
      PldAccountant poisson(kAddRemove);
      poisson.compose({PoissonSampledGaussian{sigma, 1.0 / static_cast<double>(steps)}}, steps * epochs);
      EXPECT_LT(got.upper, poisson.epsilon(delta)) << "here Poisson batches cost more";
    }
}

// δ of the pair for randomised bits: X is e^ε or e^−ε under Q, so the sum is binomial.
TEST(RandomAllocation, NoiseOfTwoLossesIsABinomialSum) {
  const double scale = 2;  // discrete Laplace noise, moved by 1: losses ±1/2
  const long double up = std::exp(0.5L), probability = 1 / (1 + up);
  for (const int steps : {2, 7, 100, 1000})
    for (const double epsilon : {0.01, 0.05, 0.2}) {
      long double remove = 0, add = 0;
      for (int ups = 0; ups <= steps; ++ups) {
        const long double mass =
            std::exp(std::lgamma(steps + 1.0L) - std::lgamma(ups + 1.0L) - std::lgamma(steps - ups + 1.0L) +
                     ups * std::log(probability) + (steps - ups) * std::log1p(-probability));
        const long double ratio = (ups * up + (steps - ups) / up) / steps;
        remove += mass * std::max(0.0L, ratio - std::exp(static_cast<long double>(epsilon)));
        add += mass * std::max(0.0L, 1 - std::exp(static_cast<long double>(epsilon)) * ratio);
      }
      const long double truth = std::max(remove, add);
      if (truth < 1e-8) continue;
      const Bracket got = allocated({DiscreteLaplace{scale, 1}}, steps, 1).delta_bracket(epsilon);
      EXPECT_GE(got.upper, truth * (1 - 1e-12L)) << steps << " " << epsilon;
      EXPECT_LE(got.lower, truth * (1 + 1e-12L)) << steps << " " << epsilon;
      if (steps == 100) {
        EXPECT_LE(got.upper - got.lower, 0.02 * got.upper + 1e-10) << steps << " " << epsilon;
      }
    }
}

double call(const RatioLaw& law, double a) {
  double sum = 0;
  for (size_t i = 0; i < law.value.size(); ++i) sum += law.mass[i] * std::max(0.0, law.value[i] - a);
  return sum;
}

TEST(RandomAllocation, RatiosOnALatticeAreSpreadAboveAndContractedBelow) {
  std::mt19937_64 rng(3);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (const size_t size : {3, 20, 500})
    for (const double h : {0.01, 0.1, 0.3}) {
      RatioLaw law;
      double mass = 0, mean = 0, at = 0;
      for (size_t i = 0; i < size; ++i) {
        at += 6 * uniform(rng) / static_cast<double>(size);
        law.value.push_back(at);
        law.mass.push_back(uniform(rng));
        mass += law.mass.back();
      }
      for (double& each : law.mass) each /= mass;
      for (size_t i = 0; i < size; ++i) mean += law.mass[i] * law.value[i];
      for (double& each : law.value) each /= mean;
      const RatioLaw above = spread_onto_lattice(law, h), below = contract_onto_lattice(law, h);
      ASSERT_FALSE(below.value.empty()) << size << " " << h;
      EXPECT_NEAR(call(above, 0), 1, 1e-12);
      EXPECT_NEAR(call(below, 0), 1, 1e-9) << "the mean is kept";
      double total = 0;
      for (const double each : below.mass) total += each;
      EXPECT_NEAR(total, 1, 1e-12);
      for (double a = 0; a < 8; a += 0.037) {
        EXPECT_GE(call(above, a), call(law, a) * (1 - 1e-12) - 1e-15) << size << " " << h << " " << a;
        EXPECT_LE(call(below, a), call(law, a) * (1 + 1e-10) + 1e-15) << size << " " << h << " " << a;
      }
    }
}

TEST(RandomAllocation, SumsOnACircleAreConvolutions) {
  const RatioLaw law{{0, 1, 2, 5}, {0.3, 0.5, 0.15, 0.05}};
  std::vector<double> direct(16);
  for (int i = 0; i < 64; ++i) {
    const int a = i / 16, b = i / 4 % 4, c = i % 4;
    const double place = law.value[size_t(a)] + law.value[size_t(b)] + law.value[size_t(c)];
    direct[static_cast<size_t>(place)] += law.mass[size_t(a)] * law.mass[size_t(b)] * law.mass[size_t(c)];
  }
  for (const bool weighted : {false, true}) {
    const RatioSums sums = sums_of_ratios(law, law, 1, 3, weighted, 0, 16);
    for (size_t s = 0; s < 16; ++s) {
      const double want = direct[s] * (weighted ? static_cast<double>(s) / 3 : 1);
      EXPECT_NEAR(sums.above[s], want, sums.error_above) << s;
      EXPECT_NEAR(sums.below[s], want, sums.error_below) << s;
    }
    EXPECT_LT(sums.error_above, 1e-12);
  }
}

TEST(RandomAllocation, CostsNoMoreThanAKnownStepAndLessForMoreSteps) {
  for (const Event& event : {Event{Gaussian{1.5}}, Event{Laplace{2}}, Event{Skellam{6, 1, 1}}}) {
    PldAccountant whole(kAddRemove);
    whole.compose(event);
    double before = whole.epsilon(1e-5) * (1 + 2e-3);
    for (const int64_t steps : {2, 10, 1000, 100'000}) {
      const Bracket got = allocated(event, steps, 1).epsilon_bracket(1e-5);
      EXPECT_LE(got.lower, got.upper) << to_json(event) << steps;
      EXPECT_LE(got.upper, before) << to_json(event) << steps;
      before = got.upper * (1 + 2e-3);
    }
  }
}

TEST(RandomAllocation, WhatIsTooCoarseFallsBackToAKnownStep) {
  // Losses of 50 at σ = 0.1: no lattice tells them apart.
  const Bracket got = allocated({Gaussian{0.1}}, 100, 1).epsilon_bracket(1e-5);
  PldAccountant whole(kAddRemove);
  whole.compose({Gaussian{0.1}});
  EXPECT_LE(got.upper, whole.epsilon(1e-5) * 1.01);
  EXPECT_EQ(got.lower, 0);
}

TEST(RandomAllocation, LittleNoiseIsStillHiddenAmongManySteps) {
  double before = 0;
  for (const auto& [steps, least_saved] : {std::pair{20'000, 6.0}, {1000, 2.0}, {2, 0.99}}) {
    PldAccountant whole(kAddRemove);
    whole.compose({Gaussian{0.5}});
    const Bracket got = allocated({Gaussian{0.5}}, steps, 1).epsilon_bracket(1e-6);
    EXPECT_LE(got.upper, whole.epsilon(1e-6) / least_saved) << steps;
    EXPECT_GT(got.upper, before) << steps;
    EXPECT_GT(got.lower, 0) << steps;
    before = got.upper;
  }
  // E max(0, (X_1 + X_2)/2 − e^ε), as in TwoStepsAgreeWithNumericalIntegration.
  const Bracket got = allocated({Gaussian{0.5}}, 2, 1).delta_bracket(4.0);
  EXPECT_GE(got.upper, 0.044825117911025550);
  EXPECT_LE(got.upper, 1.8 * 0.044825117911025550);
}

TEST(RandomAllocation, AReplacedUnitAgreesWithNumericalIntegration) {
  // E max(0, X_1 + X_2 − e^ε (Y_1 + Y_2)) / 2 of two steps, X = e^((y − 1/2)/σ²), Y = e^((−y − 1/2)/σ²), y ~ N(0, σ²):
  // the inner expectation in closed form, the outer by mp.quad (mpmath 1.3, 25 digits).
  const struct {
    double sigma, epsilon, delta, narrow;
  } kKnown[] = {
      {3, 0.5, 0.044070538619379655, 1.02}, {1, 2.0, 0.11452457401399357, 1.02}, {0.5, 8.0, 0.045724181792315267, 2}};
  for (const auto& [sigma, epsilon, delta, narrow] : kKnown) {
    const Bracket got = allocated({Gaussian{sigma}}, 2, 1, kReplaceOne).delta_bracket(epsilon);
    EXPECT_GE(got.upper, delta) << sigma;
    EXPECT_LE(got.lower, delta) << sigma;
    EXPECT_LE(got.upper, narrow * delta) << sigma;
    EXPECT_GT(got.lower, 0) << sigma;
  }
}

TEST(RandomAllocation, AReplacedUnitCostsMoreThanARemovedOneAndLessThanAKnownStep) {
  for (const Event& event : {Event{Gaussian{1}}, Event{Gaussian{4}}, Event{Laplace{2}}})
    for (const int64_t steps : {3, 500}) {
      const Bracket removed = allocated(event, steps, 5).epsilon_bracket(1e-5);
      const Bracket replaced = allocated(event, steps, 5, kReplaceOne).epsilon_bracket(1e-5);
      PldAccountant known(kReplaceOne);
      known.compose(event, 5);
      EXPECT_GE(replaced.upper, removed.lower) << to_json(event) << steps;
      EXPECT_LT(replaced.upper, known.epsilon(1e-5)) << to_json(event) << steps;
      if (event.mechanism.index() != Event{Laplace{2}}.mechanism.index()) {
        EXPECT_GT(replaced.lower, 0.5 * replaced.upper) << to_json(event) << steps;
      }
    }
}

// As NoiseOfTwoLossesIsABinomialSum: with `selected` of `steps` the ratio is the elementary symmetric polynomial of
// that degree over its number of terms.
TEST(RandomAllocation, SeveralStepsOfTwoLossesAreABinomialSum) {
  const double scale = 2;
  const long double up = std::exp(0.5L), probability = 1 / (1 + up);
  const auto choose = [](int n, int k) {
    return k < 0 || k > n ? 0.0L : std::exp(std::lgamma(n + 1.0L) - std::lgamma(k + 1.0L) - std::lgamma(n - k + 1.0L));
  };
  for (const auto& [steps, selected] : {std::pair{6, 2}, {7, 3}, {40, 4}, {4, 4}, {5, 4}})
    for (const double epsilon : {0.05, 0.5}) {
      long double remove = 0, add = 0;
      for (int ups = 0; ups <= steps; ++ups) {
        const long double mass =
            choose(steps, ups) * std::pow(probability, ups) * std::pow(1 - probability, steps - ups);
        long double ratio = 0;
        for (int k = 0; k <= selected; ++k)
          ratio += choose(ups, k) * choose(steps - ups, selected - k) * std::pow(up, 2 * k - selected);
        ratio /= choose(steps, selected);
        remove += mass * std::max(0.0L, ratio - std::exp(static_cast<long double>(epsilon)));
        add += mass * std::max(0.0L, 1 - std::exp(static_cast<long double>(epsilon)) * ratio);
      }
      const long double truth = std::max(remove, add);
      PldAccountant accountant(kAddRemove);
      accountant.compose({RandomAllocation{steps, selected, Event{DiscreteLaplace{scale, 1}}}});
      const Bracket got = accountant.delta_bracket(epsilon);
      EXPECT_GE(got.upper, truth * (1 - 1e-12L)) << steps << " " << selected;
      EXPECT_LE(got.lower, truth * (1 + 1e-12L)) << steps << " " << selected;
      if (selected == steps) {
        EXPECT_LE(got.upper - got.lower, 0.02 * got.upper) << steps << " " << selected;
      }
    }
}

TEST(RandomAllocation, SeveralStepsCostMoreThanOneAndLessThanThatManyKnown) {
  for (const auto relation : {kAddRemove, kZeroOut, kReplaceOne}) {
    PldAccountant one(relation), several(relation), known(relation);
    one.compose({RandomAllocation{1000, 1, Event{Gaussian{2}}}});
    several.compose({RandomAllocation{1000, 10, Event{Gaussian{2}}}});
    known.compose({Gaussian{2}}, 10);
    const Bracket got = several.epsilon_bracket(1e-6);
    EXPECT_GT(got.lower, one.epsilon_bracket(1e-6).upper);
    EXPECT_LT(got.upper, 0.4 * known.epsilon(1e-6));
    EXPECT_LE(got.upper, 1.25 * got.lower);
  }
}

TEST(RandomAllocation, IsRefusedWhereNoPairIsKnown) {
  for (const Event& event : {Event{RandomAllocation{10, 2, Event{EpsilonDelta{1, 0}}}},
                             Event{RandomAllocation{10, 1, Event{EpsilonDelta{1, 0}}}}}) {
    PldAccountant accountant(kAddRemove);
    EXPECT_THROW(accountant.compose(event), Error) << to_json(event);
  }
}

}  // namespace
}  // namespace sotto::accountants
