#include "accountants/shuffle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "accountants/accountant.h"
#include "base/error.h"
#include "tests/accountants/reference.h"

namespace sotto::accountants {
namespace {

// The pair of the header, outcome by outcome in long double: both histograms over (A + Δ, C − A + 1 − Δ).
double exact_delta(double epsilon_0, int reports, double epsilon) {
  const long double p = std::exp(-static_cast<long double>(epsilon_0)), w = 1 / (1 + p), grown = std::exp(epsilon);
  const auto binomial = [](int n, int k, long double q) {
    return std::exp(std::lgamma(n + 1.0L) - std::lgamma(k + 1.0L) - std::lgamma(n - k + 1.0L)) * std::pow(q, k) *
           std::pow(1 - q, n - k);
  };
  long double sum = 0;
  for (int c = 0; c < reports; ++c)
    for (int first = 0; first <= c + 1; ++first) {
      const long double moved = first >= 1 ? binomial(c, first - 1, 0.5L) : 0,
                        stayed = first <= c ? binomial(c, first, 0.5L) : 0;
      const long double with = w * moved + (1 - w) * stayed, without = w * stayed + (1 - w) * moved;
      sum += binomial(reports - 1, c, p) * std::max(0.0L, with - grown * without);
    }
  return static_cast<double>(sum);
}

TEST(Shuffle, IsAboveTheSumOverAllOutcomesByLessThanOnePercent) {
  for (const double epsilon_0 : {0.1, 1.0, 3.0})
    for (const int reports : {2, 10, 120})
      for (const double share : {0.0, 0.1, 0.5, 0.9}) {
        const double epsilon = share * epsilon_0, truth = exact_delta(epsilon_0, reports, epsilon);
        if (truth < 1e-15) continue;
        EXPECT_GE(shuffled_delta(epsilon_0, reports, epsilon), truth * (1 - 1e-12)) << epsilon_0 << " " << reports;
        EXPECT_LE(shuffled_delta(epsilon_0, reports, epsilon), truth * 1.01) << epsilon_0 << " " << reports;
      }
}

TEST(Shuffle, AgreesWithTheReferenceAndBeatsTheClosedForm) {
  const auto cases = reference_cases("shuffle");
  ASSERT_GE(cases.size(), 3u);
  for (const auto& each : cases) {
    const auto& p = each["params"];
    const double epsilon_0 = p["eps0"], n = p["n"], delta = p["delta"];
    const double got = shuffled_epsilon(epsilon_0, p["n"], delta);
    EXPECT_LE(got, each["upper"].get<double>() * (1 + 1e-3)) << each << " got " << got;
    // Feldman, McMillan, Talwar 2021, Theorem 3.1, where it holds.
    if (epsilon_0 <= std::log(n / 16 / std::log(2 / delta))) {
      const double grown = std::exp(epsilon_0);
      EXPECT_LE(got, std::log1p((grown - 1) / (grown + 1) *
                                (8 * std::sqrt(grown * std::log(4 / delta) / n) + 8 * grown / n)));
    }
    EXPECT_LE(shuffled_delta(epsilon_0, p["n"], got), delta);
    EXPECT_GT(got, 0.01);
  }
}

TEST(Shuffle, MoreReportsHideMoreAndNothingIsWorseThanNoShuffling) {
  double before = 2;
  for (const int64_t reports : {2, 30, 1000, 100'000}) {
    const double epsilon = shuffled_epsilon(2, reports, 1e-6);
    EXPECT_LE(epsilon, before) << reports;
    before = epsilon;
  }
  EXPECT_LT(before, 0.06);
  EXPECT_EQ(shuffled_delta(1, 100, 1), 0);
}

TEST(Shuffle, AnEventIsAmplifiedOnlyWhereItsAssumptionsHold) {
  const EpsilonDelta whole = amplified_by_shuffling({Shuffled{1000, Event{RandomizedResponse{1, 4}}}}, 1e-6);
  EXPECT_EQ(whole.epsilon, shuffled_epsilon(1, 1000, 1e-6));
  EXPECT_EQ(whole.delta, 1e-6);
  const auto accountant = make_accountant("zcdp", NeighbouringRelation::replace_one);
  accountant->compose({whole}, 3);
  EXPECT_GT(accountant->epsilon(1e-5), whole.epsilon);
  for (const Event& event :
       {Event{RandomizedResponse{1, 2}}, Event{Shuffled{1, Event{RandomizedResponse{1, 2}}}},
        Event{Shuffled{1000, Event{Gaussian{1}}}}, Event{Shuffled{1000, Event{EpsilonDelta{1, 1e-9}}}},
        Event{Shuffled{1000, Event{RandomizedResponse{60, 2}}}}, Event{Shuffled{1000, Event{Laplace{0}}}}})
    try {
      amplified_by_shuffling(event, 1e-6);
      ADD_FAILURE() << to_json(event);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::configuration);
      EXPECT_NE(std::string(error.what()).find("no amplification by shuffling"), std::string::npos) << error.what();
    }
}

TEST(Shuffle, BadArgumentsAreNamed) {
  EXPECT_THROW(shuffled_delta(0, 10, 1), Error);
  EXPECT_THROW(shuffled_delta(1, 1, 1), Error);
  EXPECT_THROW(shuffled_delta(1, 10, NAN), Error);
  EXPECT_THROW(shuffled_epsilon(1, 10, 0), Error);
}

}  // namespace
}  // namespace sotto::accountants
