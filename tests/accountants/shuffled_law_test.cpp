#include <gtest/gtest.h>

#include <cmath>

#include "accountants/binomial.h"
#include "accountants/pld/event_law.h"
#include "accountants/pld/pld_accountant.h"
#include "accountants/shuffle.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr auto kReplaceOne = NeighbouringRelation::replace_one;

PldAccountant shuffled(const Event& randomiser, int64_t reports, int64_t rounds = 1) {
  PldAccountant accountant(kReplaceOne);
  accountant.compose({Shuffled{reports, randomiser}}, rounds);
  return accountant;
}

TEST(ShuffledLaw, FewReportsHoldTheWorstOfAllData) {
  // The largest Σ max(0, P − e^ε Q) over all data of the others and both values of the replaced unit, histogram by
  // histogram with 25 digits (mpmath 1.3).
  const struct {
    int64_t categories, reports;
    double local, epsilon, delta;
  } kKnown[] = {{2, 8, 1, 0.3, 0.066721855048998017},
                {3, 6, 1, 0.3, 0.081917940019190451},
                {3, 5, 2, 0.5, 0.37524532176138174},
                {4, 5, 1, 0.1, 0.14308900952149395}};
  for (const auto& [categories, reports, local, epsilon, delta] : kKnown) {
    const Bracket got = shuffled({RandomizedResponse{local, categories}}, reports).delta_bracket(epsilon);
    EXPECT_GE(got.upper, delta * (1 - 1e-12)) << categories << " " << reports;
    EXPECT_LE(got.lower, delta * (1 + 1e-12)) << categories << " " << reports;
    EXPECT_LE(got.upper, 3 * delta) << categories << " " << reports;
    EXPECT_GE(got.lower, delta / 2) << categories << " " << reports;
  }
}

TEST(ShuffledLaw, TheBlanketIsNarrowAndNeverWorseThanClones) {
  for (const double local : {0.5, 1.0, 3.0})
    for (const int64_t categories : {2, 3, 10, 100})
      for (const int64_t reports : {10, 1000, 20'000}) {
        const Bracket got = shuffled({RandomizedResponse{local, categories}}, reports).epsilon_bracket(1e-6);
        EXPECT_LE(got.lower, got.upper) << local << " " << categories << " " << reports;
        EXPECT_LE(got.upper, shuffled_epsilon(local, reports, 1e-6) * (1 + 1e-3))
            << local << " " << categories << " " << reports;
        if (reports > 10) {
          EXPECT_LE(got.upper - got.lower, 0.01 * got.upper) << local << " " << categories << " " << reports;
        }
      }
}

TEST(ShuffledLaw, ItsClonesAgreeWithTheSumOverThem) {
  // The same pair by two programs: blocks of clones summed at one ε (shuffle.cpp), and binned by loss.
  for (const double local : {0.5, 2.0})
    for (const int64_t reports : {30, 5000, 1'000'000}) {
      const Bracket got = shuffled({EpsilonDelta{local, 0}}, reports).epsilon_bracket(1e-6);
      EXPECT_EQ(got.lower, 0) << "another randomiser may leak less";
      EXPECT_NEAR(got.upper / shuffled_epsilon(local, reports, 1e-6), 1, 2e-3) << local << " " << reports;
    }
}

TEST(ShuffledLaw, RoundsCompose) {
  const Event response{RandomizedResponse{2, 4}};
  const Bracket one = shuffled(response, 5000).epsilon_bracket(1e-7),
                ten = shuffled(response, 5000, 10).epsilon_bracket(1e-7);
  EXPECT_GT(ten.lower, 2 * one.upper) << "about √10 times as much";
  EXPECT_LT(ten.upper, 4.5 * one.lower);
  EXPECT_LE(ten.upper - ten.lower, 0.02 * ten.upper);
  // Ten rounds, each promised as (ε, δ) by clones.
  PldAccountant clones(kReplaceOne);
  clones.compose({amplified_by_shuffling({Shuffled{5000, response}}, 5e-9)}, 10);
  EXPECT_LT(ten.upper, 0.7 * clones.epsilon(1e-7));
}

TEST(ShuffledLaw, MoreReportsHideMoreAndNothingCostsMoreThanOneReport) {
  double before = 1.5 * (1 + 1e-6);
  for (const int64_t reports : {1, 2, 50, 3000, 30'000, 3'000'000}) {
    const Bracket got = shuffled({RandomizedResponse{1.5, 5}}, reports).epsilon_bracket(1e-6);
    EXPECT_LE(got.upper, before) << reports;
    before = got.upper * (1 + 1e-2);
  }
}

TEST(ShuffledLaw, IsRefusedWhereItsAssumptionsAreNotMet) {
  for (const Event& event :
       {Event{Shuffled{100, Event{Gaussian{1}}}}, Event{Shuffled{100, Event{EpsilonDelta{1, 1e-9}}}},
        Event{Shuffled{100, Event{Laplace{0}}}}})
    EXPECT_EQ(loss_law(event, kReplaceOne), nullptr) << to_json(event);
  PldAccountant removed(NeighbouringRelation::add_remove);
  EXPECT_THROW(removed.compose({Shuffled{100, Event{RandomizedResponse{1, 2}}}}), Error)
      << "without the unit there is a report less";
}

TEST(ShuffledLaw, BinomialMassesAreBinomial) {
  for (const double trials : {0.0, 1.0, 7.0, 4000.0})
    for (const double probability : {1e-9, 0.3, 1 - 1e-9}) {
      const BinomialMasses masses(trials, probability);
      for (size_t i = 0; i < masses.mass.size(); ++i) {
        const double k = masses.first + static_cast<double>(i);
        const long double log_mass = std::lgamma(trials + 1.0L) - std::lgamma(k + 1.0L) -
                                     std::lgamma(trials - k + 1.0L) +
                                     k * std::log(static_cast<long double>(probability)) +
                                     (trials - k) * std::log1p(-static_cast<long double>(probability));
        EXPECT_NEAR(masses.mass[i] / static_cast<double>(std::exp(log_mass)), 1, 1e-11) << trials << " " << k;
      }
    }
}

}  // namespace
}  // namespace sotto::accountants
