#include <gtest/gtest.h>

#include <cmath>

#include "accountants/pld/delta_curve.h"
#include "accountants/pld/event_law.h"
#include "accountants/pld/pld_accountant.h"
#include "accountants/pld/sum_divergence.h"
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

TEST(ShuffledChannel, FewReportsHoldTheWorstOfAllData) {
  // The largest Σ max(0, P − e^ε Q) over all data of the others and both inputs of the replaced unit, histogram by
  // histogram with 25 digits (mpmath 1.3).
  const struct {
    std::vector<std::vector<double>> table;
    int64_t reports;
    double epsilon, delta;
  } kKnown[] = {{{{.75, .25}, {.5, .5}}, 6, 0.1, 0.056235359136179377},
                {{{.6, .3, .1}, {.2, .5, .3}, {.1, .2, .7}}, 5, 0.2, 0.35008129511133368},
                {{{.5, .25, .25}, {.25, .5, .25}}, 7, 0.1, 0.057127190490584783},
                {{{.8, .2, 0}, {.3, .6, .1}}, 5, 0.05, 0.23229005756009099},  // an output that one input never gives
                {{{.5, .25, .125, .125}, {.125, .5, .25, .125}, {.25, .25, .25, .25}}, 4, 0.3, 0.13583196694328817}};
  for (const auto& [table, reports, epsilon, delta] : kKnown) {
    const Event event{LocalChannel{table}};
    const Bracket got = shuffled(event, reports).delta_bracket(epsilon);
    EXPECT_GE(got.upper, delta * (1 - 1e-12)) << to_json(event);
    EXPECT_LE(got.lower, delta * (1 + 1e-12)) << to_json(event);
    EXPECT_LE(got.upper, 2.5 * delta) << to_json(event);
    if (table.front().back() > 0) {
      EXPECT_GE(got.lower, delta / 4) << to_json(event);
    }
  }
}

TEST(ShuffledChannel, RandomisedResponseAsATableCostsWhatItDoesAsItself) {
  // The blanket's pair by two programs: outcomes listed, and sums by transforms.
  for (const size_t categories : {3, 5})
    for (const int64_t reports : {50, 2000}) {
      const double local = 1.2, lie = 1 / (std::exp(local) + static_cast<double>(categories) - 1);
      std::vector<std::vector<double>> table(categories, std::vector<double>(categories, lie));
      for (size_t x = 0; x < categories; ++x) table[x][x] = std::exp(local) * lie;
      const Bracket listed =
          shuffled({RandomizedResponse{local, static_cast<int64_t>(categories)}}, reports).epsilon_bracket(1e-6);
      const Bracket summed = shuffled({LocalChannel{table}}, reports).epsilon_bracket(1e-6);
      EXPECT_NEAR(summed.upper / listed.upper, 1, 5e-3) << categories << " " << reports;
      EXPECT_LE(listed.lower, summed.upper) << categories << " " << reports;
      EXPECT_GE(listed.upper, summed.lower) << categories << " " << reports;
      EXPECT_GE(summed.lower, 0.98 * listed.lower) << categories << " " << reports;
    }
}

TEST(ShuffledChannel, TwoCategoriesAreKnownFromBothSides) {
  for (const double local : {0.5, 1.0, 3.0})
    for (const int64_t reports : {100, 1000, 30'000}) {
      const Bracket got = shuffled({RandomizedResponse{local, 2}}, reports).epsilon_bracket(1e-6);
      EXPECT_LE(got.upper - got.lower, 5e-3 * got.upper) << local << " " << reports;
    }
}

TEST(ShuffledChannel, LaplaceNoiseIsHiddenBetterThanItsEpsilonSays) {
  for (const double local : {0.5, 2.0})
    for (const int64_t reports : {100, 10'000}) {
      const Bracket got = shuffled({Laplace{2 / local}}, reports).epsilon_bracket(1e-6);
      EXPECT_GT(got.lower, 0.3 * got.upper) << local << " " << reports;
      EXPECT_LT(got.upper, 0.85 * shuffled_epsilon(local, reports, 1e-6)) << local << " " << reports;
      // Rounded to one bit it is randomised response between e^(ε/2) and its own ε: cheaper than it, never dearer.
      const double told = 1 - 0.5 * std::exp(-local / 2);
      const Bracket bit = shuffled({RandomizedResponse{std::log(told / (1 - told)), 2}}, reports).epsilon_bracket(1e-6);
      EXPECT_LE(bit.lower, got.upper) << local << " " << reports;
    }
}

TEST(ShuffledChannel, ManyInputsAreBoundedByTheirExtremes) {
  // 64 inputs whose likelihoods differ in many ways; the pair of two of them alone costs no more.
  std::vector<std::vector<double>> table;
  for (int x = 0; x < 64; ++x) {
    std::vector<double> row;
    double sum = 0;
    for (int y = 0; y < 8; ++y) row.push_back(1 + 0.5 * std::sin(1 + 3 * x + 5 * y + x * y)), sum += row.back();
    for (double& each : row) each /= sum;
    table.push_back(row);
  }
  const Bracket all = shuffled({LocalChannel{table}}, 5000).epsilon_bracket(1e-6);
  const Bracket two = shuffled({LocalChannel{{table[0], table[1]}}}, 5000).epsilon_bracket(1e-6);
  EXPECT_GE(all.upper, two.lower);
  EXPECT_GT(all.lower, 0.2 * all.upper);
}

TEST(ShuffledChannel, ExtremesGiveABracket) {
  for (const auto& [reports, local] :
       {std::pair<int64_t, double>{2, 1e-6}, {2, 12}, {1000, 1e-6}, {1000, 12}, {300'000, 0.5}}) {
    const Bracket small = shuffled({Laplace{2 / local}}, reports).epsilon_bracket(1e-9);
    EXPECT_TRUE(0 <= small.lower && small.lower <= small.upper) << local << " " << reports;
    EXPECT_LE(small.upper, local * (1 + 1e-6)) << local << " " << reports;
    const Bracket many = shuffled({RandomizedResponse{local, 3}}, reports).epsilon_bracket(1e-9);
    EXPECT_TRUE(0 <= many.lower && many.lower <= many.upper) << local << " " << reports;
  }
  EXPECT_EQ(shuffled({LocalChannel{{{.3, .7}, {.3, .7}}}}, 10).epsilon(1e-9), 0) << "inputs that say the same";
}

TEST(ShuffledChannel, WhatNoReportsHideIsRefused) {
  const Event apart{Shuffled{1000, Event{LocalChannel{{{1, 0}, {0, 1}}}}}};
  EXPECT_EQ(loss_law(apart, kReplaceOne), nullptr) << "nothing in common";
  const Event channel{Shuffled{1000, Event{LocalChannel{{{.75, .25}, {.5, .5}}}}}};
  EXPECT_EQ(loss_law(channel, NeighbouringRelation::add_remove), nullptr) << "without the unit there is a report less";
}

// E max(0, Σ (X_i − aY_i)) / scale of ratios of two values is a sum over binomial masses.
TEST(SumDivergence, OfTwoValuesIsABinomialSum) {
  const double up = 1.5, down = 0.6, share = (1 - down) / (up - down);  // E X = E Y = 1
  for (const int64_t count : {1, 2, 40, 3000})
    for (const double a : {1.0, 1.01, 1.05}) {
      // Y is up where X is down, and down where X is up or neither.
      const std::vector<RatioCell> cells{flat_cell(share, up, down),
                                         flat_cell(1 - share, down, (1 - share * down) / (1 - share))};
      long double truth = 0;
      const double other = (1 - share * down) / (1 - share), n = static_cast<double>(count);
      for (int64_t k = 0; k <= count; ++k) {
        const double ups = static_cast<double>(k), downs = n - ups;
        const long double mass = std::exp(std::lgamma(n + 1.0L) - std::lgamma(ups + 1.0L) - std::lgamma(downs + 1.0L) +
                                          ups * std::log((long double)share) + downs * std::log1p(-(long double)share));
        truth += mass *
                 std::max(0.0L, ups * ((long double)up - a * (long double)down) +
                                    downs * ((long double)down - a * (long double)other)) /
                 n;
      }
      const double got = SumDivergence(cells, count, n).above(a);
      EXPECT_GE(got, truth * (1 - 1e-12L)) << count << " " << a;
      EXPECT_LE(got, truth * 1.02L + 1e-15L) << count << " " << a;
    }
}

TEST(DeltaCurve, ItsCellsHaveTheChords) {
  const double step = 0.1;
  DeltaCurve curve;
  for (int i = 0; i < 40; ++i) {
    curve.level.push_back(step * i);
    curve.delta.push_back(0.3 * std::exp(-0.5 * i) + 1e-9);
  }
  const std::vector<double>& values = curve.delta;
  const LossCells cells = cells_over_curve(curve), back = cells.reversed();
  for (int i = 0; i < 39; ++i)
    for (const double share : {0.0, 0.5}) {
      const double a = (1 - share) * std::exp(step * i) + share * std::exp(step * (i + 1));
      double delta = cells.p_at_infinity, other = back.p_at_infinity;
      for (size_t k = 0; k < cells.p.size(); ++k) {
        delta += std::max(0.0, cells.p[k] - a * cells.q[k]);
        other += std::max(0.0, back.p[k] - a * back.q[k]);
      }
      const auto at = static_cast<size_t>(i);
      EXPECT_NEAR(delta, (1 - share) * values[at] + share * values[at + 1], 1e-12) << a;
      EXPECT_NEAR(other, delta, 1e-12) << a;
    }
}

}  // namespace
}  // namespace sotto::accountants
