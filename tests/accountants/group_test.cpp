#include "accountants/pld/group.h"

#include <gtest/gtest.h>

#include <cmath>

#include "accountants/pld/composed_law.h"
#include "accountants/pld/event_law.h"
#include "accountants/pld/grid_choice.h"
#include "accountants/pld/grouped_uses.h"
#include "accountants/pld/pld_accountant.h"
#include "accountants/pld/sampled_gaussian_law.h"

namespace sotto::accountants {
namespace {

double divergence(const LossAtoms& atoms, double epsilon) {
  long double sum = atoms.at_infinity;
  for (size_t i = 0; i < atoms.mass.size(); ++i)
    sum += atoms.mass[i] * std::max(0.0L, -std::expm1(static_cast<long double>(epsilon) - atoms.loss(i)));
  return static_cast<double>(sum);
}

// Losses ±step with P masses p and 1 − p.
BracketedLaw two_atoms(double p, double step) {
  BracketedLaw law;
  law.above = {-step, step, 0, {1 - p, 0, p}, 0};
  law.below = law.above;
  return law;
}

long double binomial_delta(double p, double step, int64_t n, double epsilon) {
  long double sum = 0;
  for (int64_t k = 0; k <= n; ++k) {
    const long double loss = static_cast<long double>(step) * static_cast<long double>(2 * k - n);
    if (loss <= epsilon) continue;
    const auto all = static_cast<long double>(n), up = static_cast<long double>(k);
    sum +=
        std::exp(std::lgamma(all + 1) - std::lgamma(up + 1) - std::lgamma(all - up + 1) +
                 up * std::log(static_cast<long double>(p)) + (all - up) * std::log1p(-static_cast<long double>(p))) *
        -std::expm1(epsilon - loss);
  }
  return sum;
}

// lgamma of a thousand is good to 1e-16 of some thousands: 1e-12 of the sum. What is at infinity is e^−60.
TEST(Group, IsOneUseBetweenTheBinomialSumsOfItsUses) {
  const double step = 0.01, p = std::exp(step) / (1 + std::exp(step));
  for (const int64_t count : {3, 64, 1000})
    for (const int64_t left_out : {0, 2})
      for (const double theta : {0.5, 10.0, 60.0})
        for (const double times : {1.0, 7.3, 40.0}) {
          const auto one =
              as_one_use({two_atoms(p, step), count, left_out}, {theta, 60, times * step, size_t{1} << 16});
          ASSERT_TRUE(one) << count << " " << theta << " " << times;
          EXPECT_FALSE(one->below.mass.empty());
          const double slack = one->loss_error, unsure = one->mass_error + 1e-12;
          EXPECT_LT(unsure, 1e-9);
          for (const double level : {-2.0, -0.3, 0.0, 0.1, 0.7, 1.5, 3.0}) {
            const double epsilon = level * step * std::sqrt(static_cast<double>(count));
            const long double all = binomial_delta(p, step, count, epsilon);
            const long double fewer = binomial_delta(p, step, count - left_out, epsilon);
            EXPECT_GE(divergence(one->above, epsilon - slack) * (1 + unsure), all)
                << count << " " << theta << " " << times;
            EXPECT_LE(divergence(one->below, epsilon + slack) * (1 - unsure), fewer)
                << count << " " << theta << " " << times;
            if (times == 1 && left_out == 0 && count > 3 && theta * step * std::sqrt(static_cast<double>(count)) < 1) {
              EXPECT_LE(divergence(one->above, epsilon), all * 1.05L) << "on its own grid a group is nearly exact";
              EXPECT_GE(divergence(one->below, epsilon), all * 0.95L);
            }
          }
        }
}

TEST(Group, IsRefusedWhereItsWindowIsTooLarge) {
  EXPECT_FALSE(as_one_use({two_atoms(0.5, 0.01), 100'000}, {0.5, 60, 0.1, size_t{1} << 10}));
  EXPECT_FALSE(as_one_use({two_atoms(0.5, 100), 100'000}, {0.001, 60, 100, size_t{1} << 16})) << "e^loss is no double";
}

// Masses 1 at 0 and p at `loss` in each use: δ = Σ_j C(n, j) p^j (1 − e^{ε − j loss}).
TEST(ComposedLaw, RareLossesAreCountedAsOftenAsTheyMayCome) {
  for (const auto& [p, loss, n] :
       {std::tuple{1e-9, 0.5, int64_t{100'000'000}}, {1e-5, 0.25, int64_t{20'000}}, {1e-14, 1.0, int64_t{1'000'000}}}) {
    BracketedLaw law;
    law.above = law.below = {0, 0.25, 0, std::vector<double>(static_cast<size_t>(loss / 0.25) + 1), 0};
    law.above.mass.back() = law.below.mass.back() = p;
    const ComposedLaw composed({{.law = law, .count = n, .rare = true}}, {8, -8, 16, 30}, 1 << 12);
    for (const double epsilon : {0.1, 0.6, 1.4}) {
      long double truth = 0, binomial = 1;
      for (int j = 0; j < 60; ++j) {
        truth += binomial * std::max(0.0L, -std::expm1(static_cast<long double>(epsilon - j * loss)));
        binomial *= static_cast<long double>(n - j) / (j + 1) * p;
      }
      EXPECT_GE(composed.delta_above(epsilon), std::min(1.0L, truth) * (1 - 1e-15L)) << p << " " << epsilon;
      EXPECT_LE(composed.delta_below(epsilon), truth * (1 + 1e-15L)) << p << " " << epsilon;
      // Errors are relative to what is rare: on the grid there is nothing else between the bounds.
      if (truth > 1e-9L * p * static_cast<long double>(n)) {
        EXPECT_NEAR(composed.delta_above(epsilon) / composed.delta_below(epsilon), 1, 1e-3) << p << " " << epsilon;
      }
    }
  }
}

struct Case {
  const char* name;
  Event event;
  NeighbouringRelation relation;
  double bulk_step, bulk_tail, rare_step;
};

// Both parts together lie around the law on one fine grid, whose own bounds are near each other.
TEST(LossLaw, SplitIntoSmallAndRareLossesStillHasBothBounds) {
  const auto add_remove = NeighbouringRelation::add_remove, replace_one = NeighbouringRelation::replace_one;
  for (const Case& each : {Case{"seldom", {PoissonSampledGaussian{1, 1e-4}}, add_remove, 1e-5, 1e-6, 1e-3},
                           {"little noise", {PoissonSampledGaussian{0.5, 0.003}}, add_remove, 1e-3, 1e-3, 0.05},
                           {"wide", {PoissonSampledGaussian{20, 0.2}}, add_remove, 1e-4, 1e-2, 1e-3},
                           {"replaced", {PoissonSampledGaussian{1.3, 1e-3}}, replace_one, 1e-4, 1e-5, 2e-3},
                           {"laplace", {Laplace{3}}, add_remove, 1e-3, 1e-3, 1e-2}}) {
    const auto law = loss_law(each.event, each.relation);
    for (const Direction direction : {Direction::remove, Direction::add}) {
      const auto split =
          law->split(direction, {each.bulk_step, each.bulk_tail, each.rare_step, 1e-12, size_t{1} << 18});
      ASSERT_TRUE(split) << each.name;
      const BracketedLaw whole = law->on_grid(direction, each.bulk_step, 1e-12, size_t{1} << 18);
      for (double epsilon = -law->span(1e-9); epsilon < law->span(1e-9); epsilon += law->span(1e-9) / 23) {
        const double above = divergence(split->bulk.above, epsilon) + divergence(split->rare.above, epsilon);
        const double below = divergence(split->bulk.below, epsilon) + divergence(split->rare.below, epsilon);
        EXPECT_GE(above * (1 + 1e-11), divergence(whole.below, epsilon)) << each.name << " " << epsilon;
        EXPECT_LE(below * (1 - 1e-11), divergence(whole.above, epsilon)) << each.name << " " << epsilon;
        EXPECT_LE(below * (1 - 1e-11), above) << each.name << " " << epsilon;
      }
    }
  }
}

struct Asked {
  const char* name;
  Event event;
  NeighbouringRelation relation;
  int64_t count;
  double delta;
};

// The same composition on one grid is a bracket of its own: both hold the truth.
TEST(GroupedUses, MeetTheBracketOfOneGridForAllUses) {
  const auto add_remove = NeighbouringRelation::add_remove, replace_one = NeighbouringRelation::replace_one;
  for (const Asked& each : {Asked{"seldom", {PoissonSampledGaussian{1, 1e-4}}, add_remove, 1'000'000, 1e-5},
                            {"tiny delta", {PoissonSampledGaussian{1, 0.01}}, add_remove, 10'000, 1e-20},
                            {"little noise", {PoissonSampledGaussian{0.4, 1e-3}}, add_remove, 20'000, 1e-6},
                            {"all join", {PoissonSampledGaussian{50, 0.9}}, add_remove, 5'000, 1e-10},
                            {"replaced", {PoissonSampledGaussian{1, 0.01}}, replace_one, 10'000, 1e-5},
                            {"laplace", {Laplace{300}}, add_remove, 1'000'000, 1e-6}}) {
    const std::vector<LawUses> uses{{loss_law(each.event, each.relation), each.count}};
    const auto n = static_cast<double>(each.count);
    const PldLimits limits{.relative_gap = 1e-3};
    const double tail = tail_mass(n, std::log(each.delta), limits);
    Bracket both{0, 0};
    for (const Direction direction : {Direction::remove, Direction::add}) {
      const Steering steering = steer_to_delta({{uses[0].law->sketch(direction, tail), n}}, each.delta, 20);
      const double step = step_for(1e-3 * steering.epsilon, n, steering.tilt.theta);
      const auto groups = in_groups(uses, direction, steering, step, tail, limits);
      ASSERT_TRUE(groups) << each.name;
      const ComposedLaw composed(groups->parts, steering.tilt, limits.largest_transform, groups->left_out);
      both.lower = std::max(both.lower, composed.epsilon_below(each.delta));
      both.upper = std::max(both.upper, composed.epsilon_above(each.delta));
    }
    PldAccountant accountant(each.relation, {.relative_gap = 1e-5});
    accountant.compose(each.event, each.count);
    const Bracket precise = accountant.epsilon_bracket(each.delta);
    EXPECT_GE(both.upper, precise.lower) << each.name;
    EXPECT_LE(both.lower, precise.upper) << each.name;
    EXPECT_LE(both.upper - both.lower, 3e-3 * both.upper) << each.name << " " << both.lower << " " << both.upper;
  }
}

TEST(PldAccountant, HundredMillionStepsHaveANarrowBracket) {
  const auto add_remove = NeighbouringRelation::add_remove, replace_one = NeighbouringRelation::replace_one;
  for (const Asked& each : {Asked{"tiny rate", {PoissonSampledGaussian{1, 1e-6}}, add_remove, 100'000'000, 1e-5},
                            {"little noise", {PoissonSampledGaussian{0.38, 1e-6}}, add_remove, 100'000'000, 1e-5},
                            {"much noise", {PoissonSampledGaussian{1000, 0.5}}, add_remove, 100'000'000, 1e-5},
                            {"tiny delta", {PoissonSampledGaussian{1000, 0.5}}, add_remove, 100'000'000, 1e-30},
                            {"replaced", {PoissonSampledGaussian{1.28, 6.7e-5}}, replace_one, 19'000'000, 1e-6},
                            {"laplace", {Laplace{1000}}, add_remove, 50'000'000, 1e-6},
                            {"much is told", {Laplace{1}}, add_remove, 50'000'000, 1e-6}}) {
    PldAccountant accountant(each.relation);
    accountant.compose(each.event, each.count);
    const Bracket got = accountant.epsilon_bracket(each.delta);
    EXPECT_GT(got.lower, 0) << each.name;
    EXPECT_LE(got.upper - got.lower, 1e-3 * got.upper) << each.name << " " << got.lower << " " << got.upper;
  }
}

}  // namespace
}  // namespace sotto::accountants
