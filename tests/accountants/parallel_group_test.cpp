#include <gtest/gtest.h>

#include <cmath>

#include "accountants/gdp/gdp_accountant.h"
#include "accountants/group.h"
#include "accountants/parallel.h"
#include "accountants/rdp/rdp_accountant.h"
#include "accountants/zcdp/zcdp_accountant.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr auto kAddRemove = NeighbouringRelation::add_remove;

TEST(Parallel, CostsWhatTheCostliestPartCosts) {
  GdpAccountant quiet(kAddRemove), loud(kAddRemove);
  quiet.compose({Gaussian{10}}, 5);
  loud.compose({Gaussian{2}}, 5);
  ZcdpAccountant other(kAddRemove);
  other.compose({Gaussian{8}}, 1);
  const Bracket all = parallel_epsilon({&quiet, &loud, &other}, 1e-5), worst = loud.epsilon_bracket(1e-5);
  EXPECT_EQ(all.lower, worst.lower);
  EXPECT_EQ(all.upper, worst.upper);
  EXPECT_EQ(parallel_delta({&quiet, &loud, &other}, 1).upper, loud.delta(1));
}

TEST(Parallel, RefusesWhatOneUnitMayChangeTwice) {
  GdpAccountant one(NeighbouringRelation::replace_one), other(kAddRemove);
  EXPECT_THROW(parallel_epsilon({&one}, 1e-5), Error);
  EXPECT_THROW(parallel_epsilon({&other, &one}, 1e-5), Error);
  EXPECT_THROW(parallel_epsilon({}, 1e-5), Error);
  EXPECT_THROW(parallel_epsilon({&other, nullptr}, 1e-5), Error);
}

TEST(Group, OfGaussiansGrowsMuByItsSize) {
  // ε at δ = 1e-9 of μ = 5, mpmath's closed form: five people under σ = 1.
  GdpAccountant group(kAddRemove);
  group.compose(group_event({Gaussian{1}}, 5).value());
  EXPECT_LE(group.epsilon_bracket(1e-9).lower, 41.83337508055052);
  EXPECT_GE(group.epsilon_bracket(1e-9).upper, 41.83337508055052);
  EXPECT_NEAR(group.epsilon(1e-9), 41.83337508055052, 1e-7);
}

TEST(Group, EventsOfNoisySumsAreScaledAndOthersHaveNone) {
  EXPECT_EQ(group_event({Laplace{4}}, 2), (Event{Laplace{std::nextafter(2.0, 0.0)}}));
  EXPECT_EQ(group_event({DiscreteLaplace{4, 3}}, 2), (Event{DiscreteLaplace{4, 6}}));
  EXPECT_EQ(group_event({DiscreteGaussian{4, 3}}, 2), (Event{DiscreteGaussian{4, 6}}));
  EXPECT_EQ(group_event({Skellam{4, 3, 2}}, 2), (Event{Skellam{4, 6, 4}}));
  EXPECT_EQ(group_event({EpsilonDelta{0.5, 0}}, 4), (Event{EpsilonDelta{2, 0}}));
  EXPECT_EQ(group_event({PoissonSampledGaussian{1, 0.1}}, 1), (Event{PoissonSampledGaussian{1, 0.1}}));
  EXPECT_FALSE(group_event({PoissonSampledGaussian{1, 0.1}}, 2));
  EXPECT_FALSE(group_event({EpsilonDelta{0.5, 1e-9}}, 2));
  EXPECT_THROW(group_event({Laplace{4}}, 0), Error);
}

TEST(Group, OfAnyAccountantIsTheTheoremAtTheBestEpsilonOfOne) {
  GdpAccountant one(kAddRemove);
  one.compose({Gaussian{10}});
  // Groups of 5 under σ = 10 are μ = 0.5 exactly: ε = 1.9930914044151196 at 1e-5 (mpmath).
  const double got = group_epsilon(one, 5, 1e-5);
  EXPECT_GT(got, 1.9930914044151196);
  EXPECT_LT(got, 5 * one.epsilon(1e-9));
  // The theorem, written out at got / 5.
  const double epsilon = got / 5, delta = one.delta(epsilon) * std::expm1(5 * epsilon) / std::expm1(epsilon);
  EXPECT_LE(delta, 1e-5 * (1 + 1e-12));
  EXPECT_GT(delta, 1e-5 * (1 - 1e-6));
  EXPECT_NEAR(group_epsilon(one, 1, 1e-5), one.epsilon(1e-5), 1e-8);
}

TEST(Group, TheEndsOfTheRange) {
  GdpAccountant nothing(kAddRemove), everything(kAddRemove);
  everything.compose({Gaussian{0}});
  EXPECT_EQ(group_epsilon(nothing, 7, 1e-5), 0);
  EXPECT_EQ(group_epsilon(everything, 2, 1e-5), INFINITY);
  EXPECT_THROW(group_epsilon(nothing, 0, 1e-5), Error);
  EXPECT_THROW(group_epsilon(nothing, 2, 0), Error);
}

}  // namespace
}  // namespace sotto::accountants
