#include "accountants/individual_filter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "base/error.h"

namespace sotto::accountants {
namespace {

std::vector<uint8_t> admit(IndividualFilter& filter, std::vector<int64_t> units, std::vector<float> shares,
                           double noise_multiplier) {
  std::vector<uint8_t> admitted(units.size());
  filter.admit(units, shares, noise_multiplier, admitted);
  return admitted;
}

TEST(IndividualFilter, EachUnitLeavesWhenItsOwnBudgetIsGone) {
  IndividualFilter filter(3, GdpBudget{1});  // 16 full rounds at σ = 4, 64 at half a share, 1,024 at an eighth
  const auto both = std::vector<uint8_t>{1, 1, 1};
  for (int i = 0; i < 16; ++i) EXPECT_EQ(admit(filter, {0, 1, 2}, {1, 0.5, 0.125}, 4), both) << i;
  EXPECT_EQ(admit(filter, {0, 1, 2}, {1, 0.5, 0.125}, 4), (std::vector<uint8_t>{0, 1, 1}));
  for (int i = 17; i < 64; ++i) EXPECT_EQ(admit(filter, {2, 1}, {0.125, 0.5}, 4), (std::vector<uint8_t>{1, 1})) << i;
  EXPECT_EQ(admit(filter, {1, 2}, {0.5, 0.125}, 4), (std::vector<uint8_t>{0, 1}));
  EXPECT_EQ(admit(filter, {1, 0}, {0, 0}, 4), (std::vector<uint8_t>{1, 1})) << "who adds nothing may stay";
}

TEST(IndividualFilter, AZcdpBudgetIsHalfOfMuSquared) {
  IndividualFilter filter(1, ZcdpBudget{0.5});
  for (int i = 0; i < 4; ++i) EXPECT_EQ(admit(filter, {0}, {1}, 2)[0], 1);
  EXPECT_EQ(admit(filter, {0}, {1e-6F}, 2)[0], 0);
}

TEST(IndividualFilter, OnPoissonBatchesEachUnitPaysTheDivergenceOfItsOwnShare) {
  const double order = 8, rate = 0.1, noise = 2;
  const RdpBudget budget = RdpBudget::holding(3, 1e-5, {order});
  IndividualFilter filter(3, budget);
  int admitted[3] = {0, 0, 0};
  const std::vector<float> shares{1, 0.5, 0};
  for (int round = 0; round < 5000; ++round) {
    std::vector<uint8_t> may(3);
    filter.admit_to_sample(std::vector<int64_t>{0, 1, 2}, shares, noise, rate, may);
    for (size_t i = 0; i < 3; ++i) admitted[i] += may[i];
  }
  // E_Q[(P/Q)^8] as the binomial sum of Mironov, Talwar, Zhang 2019, in long double.
  for (size_t i = 0; i < 2; ++i) {
    const long double sigma = static_cast<long double>(noise) / shares[i];
    long double sum = 0;
    for (int k = 0; k <= 8; ++k)
      sum += std::exp(std::lgamma(9.0L) - std::lgamma(k + 1.0L) - std::lgamma(9.0L - k) + k * std::log(0.1L) +
                      (8 - k) * std::log(0.9L) + k * (k - 1) / (2 * sigma * sigma));
    const long double one = std::log(sum) / 7, fit = budget.rdp[0] / one;
    EXPECT_LE(admitted[i], fit) << i;
    EXPECT_GE(admitted[i], fit * (1 - 1e-6L) - 1) << i;
  }
  EXPECT_EQ(admitted[2], 5000) << "who adds nothing may stay";
  EXPECT_LT(admitted[0], 5000);
  // A share between two levels is charged as the next one.
  IndividualFilter one(2, budget);
  std::vector<uint8_t> may(2);
  for (int round = 0; round < 5000; ++round) {
    one.admit_to_sample(std::vector<int64_t>{0, 1}, std::vector<float>{0.4999F, 0.5F}, noise, rate, may);
    EXPECT_EQ(may[0], may[1]) << round;
  }
}

TEST(IndividualFilter, AnRdpBudgetTakesWholeBatchesToo) {
  IndividualFilter filter(1, RdpBudget{{4}, {2}});  // α / 2σ² = 1/2 a step
  for (int i = 0; i < 4; ++i) EXPECT_EQ(admit(filter, {0}, {1}, 2)[0], 1);
  EXPECT_EQ(admit(filter, {0}, {1e-6F}, 2)[0], 0);
  std::vector<uint8_t> may(1);
  const std::vector<int64_t> unit{0};
  const std::vector<float> share{1};
  IndividualFilter zcdp(1, ZcdpBudget{1});
  EXPECT_THROW(zcdp.admit_to_sample(unit, share, 1, 0.1, may), Error) << "no amplification by sampling";
  IndividualFilter rdp(1, RdpBudget{{4}, {2}});
  EXPECT_THROW(rdp.admit_to_sample(unit, share, 1, 1.5, may), Error);
  EXPECT_THROW(rdp.admit_to_sample(unit, share, -1, 0.5, may), Error);
  rdp.admit_to_sample(unit, share, 0, 0.5, may);
  EXPECT_EQ(may[0], 0) << "without noise no budget lasts";
  EXPECT_THROW(IndividualFilter(1, RdpBudget{{2, 3}, {1, 1}}), Error);
}

// Against each unit's own sum in long double: nobody passes the budget, nobody is turned away with room for the step.
TEST(IndividualFilter, ManyUnitsNeverPassTheirBudgetAndUseAllOfIt) {
  constexpr int64_t kUnits = 500;
  const double budget = 0.7;
  IndividualFilter filter(kUnits, ZcdpBudget{budget});
  std::mt19937_64 random(5);
  std::vector<long double> spent(kUnits);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    const double noise = 1 + static_cast<double>(random() % 1000) / 50;
    std::vector<int64_t> units;
    std::vector<float> shares;
    for (int64_t unit = static_cast<int64_t>(random() % 7); unit < kUnits;
         unit += 1 + static_cast<int64_t>(random() % 9)) {
      units.push_back(unit);
      shares.push_back(static_cast<float>(random() % 1001) / 1000.0F);
    }
    const auto admitted = admit(filter, units, shares, noise);
    for (size_t i = 0; i < units.size(); ++i) {
      const long double share = shares[i], cost = share * share / (2.0L * noise * noise);
      auto& total = spent[static_cast<size_t>(units[i])];
      if (admitted[i]) {
        total += cost;
      } else {
        EXPECT_GT(total + cost, budget * (1 - 1e-12L));
        ++refused;
      }
      ASSERT_LE(total, budget);
    }
  }
  EXPECT_GT(refused, 1000);
}

TEST(IndividualFilter, WithoutNoiseOnlyWhoAddsNothingTakesPart) {
  IndividualFilter filter(2, GdpBudget{1});
  EXPECT_EQ(admit(filter, {0, 1}, {1, 0}, 0), (std::vector<uint8_t>{0, 1}));
  EXPECT_EQ(admit(filter, {0}, {1}, 1), (std::vector<uint8_t>{1})) << "and nobody was charged";
}

TEST(IndividualFilter, WhatIsWrongChargesNobody) {
  IndividualFilter filter(3, GdpBudget{1});
  EXPECT_THROW(admit(filter, {0, 1, 0}, {1, 1, 1}, 1), Error);
  EXPECT_THROW(admit(filter, {0, 3}, {1, 1}, 1), Error);
  EXPECT_THROW(admit(filter, {0, -1}, {1, 1}, 1), Error);
  EXPECT_THROW(admit(filter, {0, 1}, {1, 1.5}, 1), Error);
  EXPECT_THROW(admit(filter, {0, 1}, {1, std::numeric_limits<float>::quiet_NaN()}, 1), Error);
  EXPECT_THROW(admit(filter, {0, 1}, {1}, 1), Error);
  EXPECT_THROW(admit(filter, {0}, {1}, -1), Error);
  EXPECT_EQ(admit(filter, {0, 1, 2}, {1, 1, 1}, 1), (std::vector<uint8_t>{1, 1, 1})) << "all of it is still there";
  EXPECT_THROW(IndividualFilter(-1, GdpBudget{1}), Error);
  EXPECT_THROW(IndividualFilter(1, GdpBudget{0}), Error);
  EXPECT_THROW(IndividualFilter(1, ZcdpBudget{1, 1e-6}), Error);
}

// Individual spends are private (docs/accounting.md): nothing in the class gives one out.
template <class T>
constexpr bool says_what_was_spent = requires(const T& t) {
  t.spent(0);
}
|| requires(const T& t) {
  t.spent();
}
|| requires(const T& t) {
  t.remaining(0);
}
|| requires(const T& t) {
  t.active();
};
static_assert(!says_what_was_spent<IndividualFilter>);

}  // namespace
}  // namespace sotto::accountants
