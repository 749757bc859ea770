#include "accountants/spend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "accountants/unit_cost.h"

namespace sotto::accountants {
namespace {

TEST(Directed, NeverOnTheWrongSideAndExactWhereTheResultIs) {
  // The products and quotients of doubles in 113 bits: __float128 holds a product exactly.
  std::mt19937_64 random(3);
  const auto draw = [&] {
    return std::ldexp(static_cast<double>(random() >> 11), -20 - static_cast<int>(random() % 60));
  };
  int rounded = 0;
  for (int i = 0; i < 100'000; ++i) {
    const double a = draw(), b = draw();
    const __float128 product = static_cast<__float128>(a) * b;
    EXPECT_TRUE(times_up(a, b) >= product);
    EXPECT_TRUE(std::nextafter(times_up(a, b), 0.0) < product || product == 0);
    EXPECT_TRUE(static_cast<__float128>(divide_up(a, b)) * b >= a);
    EXPECT_TRUE(static_cast<__float128>(std::nextafter(divide_up(a, b), 0.0)) * b < a || a == 0);
    EXPECT_TRUE(square_down(a) <= static_cast<__float128>(a) * a);
    rounded += times_up(a, b) != a * b;
  }
  EXPECT_GT(rounded, 40'000) << "the nearest double is below as often as not";
  EXPECT_EQ(times_up(3, 0.25), 0.75);
  EXPECT_EQ(divide_up(100, 100), 1);
  EXPECT_EQ(square_down(10), 100);
}

TEST(Directed, TheEndsOfTheRangeStaySafe) {
  EXPECT_EQ(times_up(0, INFINITY), 0);
  EXPECT_EQ(times_up(1e300, 1e300), INFINITY);
  EXPECT_GT(times_up(1e-200, 1e-200), 0);
  EXPECT_GT(divide_up(1e-200, 1e200), 0);
  EXPECT_EQ(divide_up(1, 0), INFINITY);
  EXPECT_EQ(divide_up(0, 0), 0);
  EXPECT_EQ(square_down(1e200), std::numeric_limits<double>::max());
  EXPECT_EQ(square_down(1e-200), 0);
  EXPECT_GT((UnitCost{1, square_down(1e200)}.of(1)), 0);
  EXPECT_EQ((UnitCost{1, square_down(0)}.of(1)), INFINITY);
}

TEST(Spend, RoundsCostsUpAndBudgetsDown) {
  const double tiny = std::ldexp(1, -81);
  EXPECT_GT(Spend::at_least(tiny), Spend());
  EXPECT_EQ(Spend::at_most(tiny), Spend());
  EXPECT_EQ(Spend::at_least(0.1), Spend::at_most(0.1)) << "a double of that size is a multiple";
  EXPECT_EQ(Spend::at_least(0.1).rounded_up(), 0.1);
  EXPECT_EQ(Spend::at_least(5e-324).rounded_up(), std::ldexp(1, -80));
}

TEST(Spend, SumsAreExactInAnyOrder) {
  // A million times the double nearest to 0.1, which is above it.
  Spend sum;
  for (int i = 0; i < 1'000'000; ++i) sum = sum.with(Spend(), Spend::at_least(0.1));
  EXPECT_GT(sum, Spend::at_most(100'000));
  EXPECT_EQ(sum.with(sum, Spend::at_least(7)), Spend::at_least(7));
}

TEST(Spend, UnboundedStaysSo) {
  for (const double much : {0x1p40, 1e300, static_cast<double>(INFINITY), static_cast<double>(NAN)}) {
    const Spend sum = Spend::at_least(1).with(Spend(), Spend::at_least(much));
    EXPECT_TRUE(sum.unbounded()) << much;
    EXPECT_TRUE(sum.with(Spend::at_least(much), Spend()).unbounded());
    EXPECT_EQ(sum.rounded_up(), INFINITY);
  }
}

}  // namespace
}  // namespace sotto::accountants
