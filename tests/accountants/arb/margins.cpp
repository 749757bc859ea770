#include "tests/accountants/arb/margins.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace sotto::accountants {
namespace {

constexpr slong kLeastBits = 64;
constexpr double kBeyond = 1e4;  // stands for an infinite ε

}  // namespace

Margins::~Margins() {
  std::printf("%s: %d cases", what_.c_str(), cases_);
  if (above_ < kAny) std::printf("; the nearest upper bound %.2g above the truth", above_);
  if (below_ < kAny) std::printf("; the nearest lower bound %.2g below it", below_);
  std::printf("\n");
}

void Margins::is_above(const std::string& row, double upper, const Ball& truth, double furthest) {
  const double over = ((upper - truth) / truth).middle();
  EXPECT_GE(truth.good_bits(), kLeastBits) << row;
  EXPECT_TRUE(truth.at_most(upper)) << row << ": " << upper << " is not above " << truth.middle() << ": " << over;
  EXPECT_LE(over, furthest) << row << ": " << upper;
  above_ = std::min(above_, over);
}

void Margins::is_below(const std::string& row, double lower, const Ball& truth, double furthest) {
  if (lower == 0) {  // says nothing
    EXPECT_GE(furthest, 1) << row;
    return;
  }
  const double under = ((truth - lower) / truth).middle();
  EXPECT_GE(truth.good_bits(), kLeastBits) << row;
  EXPECT_TRUE(truth.at_least(lower)) << row << ": " << lower << " is not below " << truth.middle() << ": " << under;
  EXPECT_LE(under, furthest) << row << ": " << lower;
  below_ = std::min(below_, under);
}

void Margins::contains(const std::string& row, Bracket got, const Ball& truth, double furthest) {
  add_case();
  is_above(row, got.upper, truth, furthest);
  is_below(row, got.lower, truth, furthest);
}

void Margins::contains_epsilon(const std::string& row, Bracket got, double delta, const Truth& truth, double widest) {
  add_case();
  EXPECT_LE(got.upper - got.lower, widest * got.upper) << row << ": " << got.lower << " to " << got.upper;
  // δ at the upper end against `delta` as a bound from above, and the other way round.
  if (got.upper < kBeyond) is_above(row, delta, truth(got.upper), kAny);
  if (got.lower > 0) is_below(row, delta, truth(std::min(got.lower, kBeyond)), kAny);
}

}  // namespace sotto::accountants
