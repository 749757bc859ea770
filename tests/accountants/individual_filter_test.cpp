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
