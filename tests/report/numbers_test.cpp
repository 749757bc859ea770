#include "report/numbers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace sotto::report {
namespace {

TEST(Numbers, RoundUpIsNeverBelowAndLessThanOneDigitAbove) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> exponent(-12, 9), mantissa(1, 10);
  for (int i = 0; i < 200000; ++i) {
    const double value = mantissa(random) * std::pow(10.0, std::floor(exponent(random)));
    const int digits = i % 7;
    const double printed = std::stod(round_up(value, digits));
    ASSERT_GE(printed, value) << round_up(value, digits);
    // One unit of the last digit, and the printed and true value's own roundings.
    ASSERT_LT(printed - value, std::pow(10.0, -digits) * (1 + 1e-9) + value * 1e-15) << round_up(value, digits);
  }
}

TEST(Numbers, RoundUpKeepsWhatIsAlreadyShort) {
  EXPECT_EQ(round_up(3, 4), "3.0000");
  EXPECT_EQ(round_up(2.7352, 4), "2.7352");
  EXPECT_EQ(round_up(2.73521, 4), "2.7353");
  EXPECT_EQ(round_up(2.99995, 4), "3.0000");
  EXPECT_EQ(round_up(0, 4), "0.0000");
  EXPECT_EQ(round_up(std::numeric_limits<double>::denorm_min(), 4), "0.0001");
  EXPECT_EQ(round_up(9.99, 0), "10");
  EXPECT_EQ(round_up(1e300, 2).substr(0, 4), "1000");
}

TEST(Numbers, SignificantDigitsStayOnTheirSideAndAreWithinOneOfTheLast) {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> exponent(-40, 12), mantissa(1, 10);
  for (int i = 0; i < 200000; ++i) {
    const double value = mantissa(random) * std::pow(10.0, std::floor(exponent(random)));
    const int digits = 2 + i % 6;
    const double up = std::stod(significant_up(value, digits)), down = std::stod(significant_down(value, digits));
    ASSERT_GE(up, value) << digits;
    ASSERT_LE(down, value) << digits;
    // A unit of the last digit is at most 10^(1−digits) of the value.
    ASSERT_LE(up - down, 1.001 * value * std::pow(10.0, 1 - digits)) << value << " " << digits;
  }
}

TEST(Numbers, SignificantDigitsKeepWhatIsAlreadyShort) {
  EXPECT_EQ(significant_up(2.5, 4), "2.5");
  EXPECT_EQ(significant_down(2.5, 4), "2.5");
  EXPECT_EQ(significant_up(1.00001, 3), "1.01");
  EXPECT_EQ(significant_down(1.99999, 3), "1.99");
  EXPECT_EQ(significant_up(9.9999, 3), "10");
  EXPECT_EQ(significant_up(1e-5, 3), "1e-5");
  EXPECT_EQ(significant_up(0, 3), "0");
  EXPECT_EQ(significant_up(1e-30, 2), "1e-30");
}

TEST(Numbers, ExactReadsBackAsTheSameDouble) {
  EXPECT_EQ(exact(1e-5), "1e-5");
  EXPECT_EQ(exact(1e-12), "1e-12");
  EXPECT_EQ(exact(0.25), "0.25");
  for (const double value : {0.1, 1.0 / 3, 4096.0 / 55743, 1e-300, 123456789.125}) {
    EXPECT_EQ(std::stod(exact(value)), value);
  }
}

TEST(Numbers, CountedGroupsByThousands) {
  EXPECT_EQ(counted(0), "0");
  EXPECT_EQ(counted(999), "999");
  EXPECT_EQ(counted(1000), "1,000");
  EXPECT_EQ(counted(55743), "55,743");
  EXPECT_EQ(counted(1234567), "1,234,567");
  EXPECT_EQ(counted(-100), "-100");
  EXPECT_EQ(counted(-1000), "-1,000");
}

TEST(Numbers, OddsFactorRoundsUpAndNeverOverflows) {
  EXPECT_EQ(odds_factor(0), "1.00");
  EXPECT_EQ(odds_factor(1), "2.72");
  EXPECT_EQ(odds_factor(0.001), "1.01");
  EXPECT_EQ(odds_factor(5000), "e^5000.0000");
}

}  // namespace
}  // namespace sotto::report
