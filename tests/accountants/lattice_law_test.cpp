#include <gtest/gtest.h>

#include <cmath>

#include "accountants/pld/event_law.h"
#include "accountants/pld/pld_accountant.h"
#include "accountants/rdp/rdp_accountant.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr auto kAddRemove = NeighbouringRelation::add_remove;
constexpr auto kReplaceOne = NeighbouringRelation::replace_one;

PldAccountant composed(const Event& event, int64_t count, NeighbouringRelation relation) {
  PldAccountant accountant(relation);
  accountant.compose(event, count);
  return accountant;
}

// Σ max(0, P − e^ε Q) over the integers that ⟨μ, y⟩ takes, both uses and both directions, the larger one (mpmath 1.3,
// 40 digits; terms below 1e-30 left out). Under replace_one the unit moves the sum by μ or by −μ.
struct Known {
  double sigma;
  NeighbouringRelation relation;
  int64_t uses;
  double epsilon, one_entry, four_entries;  // δ with μ = (2) and with μ = (1, 1, 1, 1)
};
constexpr double kRate = 0.2;
const Known kKnown[] = {{6, kAddRemove, 1, 0.1, 0.0039916804047409076, 0.0039763015572364539},
                        {6, kAddRemove, 2, 0.2, 0.0018279961682439312, 0.0018296779285319162},
                        {6, kReplaceOne, 1, 0.1, 0.017876044714963437, 0.017854485387502279},
                        {6, kReplaceOne, 2, 0.2, 0.015039571746836449, 0.015038188127565125},
                        {20, kAddRemove, 1, 0.1, 6.3519518311157911e-8, 0},
                        {20, kAddRemove, 2, 0.2, 6.8319356050121184e-12, 0},
                        {20, kReplaceOne, 1, 0.1, 8.6655319020709427e-5, 0},
                        {20, kReplaceOne, 2, 0.2, 3.3562283750603057e-6, 0}};

TEST(LatticeLaw, HoldsVectorsThatAreShortAndIsAttainedByOneEntry) {
  for (const Known& each : kKnown) {
    // Squared norms of up to 4.
    const Event event{PoissonSampledLatticeGaussian{each.sigma / 2, kRate, each.sigma}};
    const Bracket got = composed(event, each.uses, each.relation).delta_bracket(each.epsilon);
    EXPECT_GE(got.upper, each.one_entry) << to_json(event) << each.uses;
    EXPECT_GE(got.upper, each.four_entries) << to_json(event) << each.uses;
    EXPECT_LE(got.lower, each.one_entry * (1 + 1e-12)) << to_json(event) << each.uses;
    EXPECT_GT(got.lower, 0.4 * each.one_entry) << to_json(event) << each.uses;
    EXPECT_LT(got.upper, 3 * each.one_entry) << to_json(event) << each.uses;
  }
}

TEST(LatticeLaw, NeitherBoundIsThatOfContinuousNoise) {
  // Where the integers cost 3.7 % more than N(0, σ²) with the same shift of 1, and where only one of them fits (mpmath,
  // as above; the larger one of μ = (1) and μ = (1, 1)).
  EXPECT_GE(composed({PoissonSampledLatticeGaussian{4, kRate, 4}}, 1, kAddRemove).delta_bracket(0.25).upper,
            4.0694532520581235e-6);
  EXPECT_LE(
      composed({PoissonSampledLatticeGaussian{4.2426406871192852, kRate, 6}}, 1, kAddRemove).delta_bracket(0.05).lower,
      0.0046546288649325924);
}

TEST(LatticeLaw, OneEntryAloneIsKnownExactly) {
  const struct {
    double sigma;
    int64_t shift;
    double rate;
    NeighbouringRelation relation;
    int64_t uses;
    double epsilon, delta;
  } kExact[] = {{0.7, 1, 0.1, kAddRemove, 1, 0.5, 0.014261962739977256},
                {0.7, 1, 0.1, kAddRemove, 2, 1.0, 0.0071640620367350786},
                {0.7, 1, 0.1, kReplaceOne, 1, 0.5, 0.015847856176701536},
                {0.7, 1, 0.1, kReplaceOne, 2, 1.0, 0.013798857018877803},
                {2, 3, 0.05, kAddRemove, 1, 0.5, 0.0032562275066827425},
                {2, 3, 0.05, kAddRemove, 2, 1.0, 0.0021388967983462267},
                {2, 3, 0.05, kReplaceOne, 1, 0.5, 0.0041229218008749966},
                {2, 3, 0.05, kReplaceOne, 2, 1.0, 0.002410608674642772}};
  for (const auto& [sigma, shift, rate, relation, uses, epsilon, delta] : kExact) {
    const Event event{PoissonSampled{rate, Event{DiscreteGaussian{sigma, shift}}}};
    const Bracket got = composed(event, uses, relation).delta_bracket(epsilon);
    EXPECT_GE(got.upper, delta * (1 - 1e-12)) << to_json(event) << uses;
    EXPECT_LE(got.lower, delta * (1 + 1e-12)) << to_json(event) << uses;
    EXPECT_LE(got.upper - got.lower, 2e-3 * delta) << to_json(event) << uses;
  }
}

TEST(LatticeLaw, AFineLatticeCostsWhatContinuousNoiseDoes) {
  constexpr double kHardened = 9.3e11;  // what kernels/lattice has
  for (const auto& [sigma, rate, steps] : {std::tuple{1.0, 0.01, 1000}, {0.6, 0.001, 200}, {5.0, 1.0, 30}}) {
    const Bracket fine =
        composed({PoissonSampledLatticeGaussian{sigma, rate, kHardened}}, steps, kAddRemove).epsilon_bracket(1e-6);
    const Bracket continuous = composed({PoissonSampledGaussian{sigma, rate}}, steps, kAddRemove).epsilon_bracket(1e-6);
    EXPECT_LE(fine.lower, continuous.upper) << sigma;
    EXPECT_GE(fine.upper, continuous.lower) << sigma;
    EXPECT_LE(fine.upper - fine.lower, 1.5e-3 * fine.upper) << sigma;
    RdpAccountant rdp(kAddRemove);
    rdp.compose({PoissonSampledLatticeGaussian{sigma, rate, kHardened}}, steps);
    EXPECT_LT(fine.upper, 0.97 * rdp.epsilon(1e-6)) << sigma;
  }
}

TEST(LatticeLaw, ACoarserLatticeNeverCostsLessAndTooCoarseAOneIsRefused) {
  double before = 0;
  for (const double sigma : {1e9, 1000.0, 30.0, 8.0, 5.0}) {
    const Bracket got = composed({PoissonSampledLatticeGaussian{2, 0.1, sigma}}, 50, kAddRemove).epsilon_bracket(1e-5);
    EXPECT_GE(got.upper, before) << sigma;
    before = got.upper * (1 - 1e-3);
  }
  EXPECT_EQ(loss_law({PoissonSampledLatticeGaussian{2, 0.1, 3}}, kAddRemove), nullptr);
  PldAccountant accountant(kAddRemove);
  EXPECT_THROW(accountant.compose({PoissonSampledLatticeGaussian{2, 0.1, 3}}), Error);
  accountant.compose({PoissonSampledLatticeGaussian{2, 0, 1000}}, 100);
  accountant.compose({PoissonSampledLatticeGaussian{2000, 0.5, 1000}}, 100);  // no integer vector but 0 is as short
  EXPECT_EQ(accountant.epsilon(1e-9), 0);
}

TEST(LatticeLaw, ExtremesGiveABracket) {
  for (const auto relation : {kAddRemove, kReplaceOne})
    for (const double noise : {0.0, 1e-9, 0.2, 1000.0, 1e11})
      for (const double rate : {1e-12, 0.01, 1.0}) {
        const Bracket got =
            composed({PoissonSampledLatticeGaussian{noise, rate, 1e12}}, 100, relation).epsilon_bracket(1e-8);
        EXPECT_TRUE(0 <= got.lower && got.lower <= got.upper) << noise << " " << rate;
      }
}

}  // namespace
}  // namespace sotto::accountants
