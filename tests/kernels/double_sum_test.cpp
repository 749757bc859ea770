#include "kernels/double_sum.h"

#include <gtest/gtest.h>

#include "tests/kernels/cases/instruction_sets.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

struct Sum {
  template <class V>
  static SOTTO_INLINE double run(const float* x, int64_t n) {
    return double_sum<V>(x, n);
  }
};

struct SquareSum {
  template <class V>
  static SOTTO_INLINE double run(const float* x, int64_t n) {
    return square_sum<V>(x, n);
  }
};

// Around the ends of a vector of 8, of 4 such vectors, and of both widths' parts of them.
constexpr int64_t kLengths[] = {0, 1, 3, 4, 7, 8, 9, 31, 32, 33, 40, 63, 64, 100, 1000, 4099};

TEST(DoubleSum, EveryInstructionSetHasTheSameBits) {
  for (const int64_t n : kLengths) {
    const auto x = normal_values(n, 7 + static_cast<uint64_t>(n), 1e3f);
    const double sum = run_on<Sum>(InstructionSet::plain, x.data(), n);
    const double squares = run_on<SquareSum>(InstructionSet::plain, x.data(), n);
    for (const InstructionSet set : sets_of_this_machine()) {
      EXPECT_EQ(run_on<Sum>(set, x.data(), n), sum) << name_of(set) << ", " << n << " floats";
      EXPECT_EQ(run_on<SquareSum>(set, x.data(), n), squares) << name_of(set) << ", " << n << " floats";
    }
  }
}

// Within n roundings of a double of the sum in long double, relative to the sum of absolute values.
TEST(DoubleSum, EveryFloatCountsOnce) {
  for (const InstructionSet set : sets_of_this_machine())
    for (const int64_t n : kLengths) {
      const auto x = normal_values(n, 1 + static_cast<uint64_t>(n));
      long double sum = 0, magnitude = 0, squares = 0;
      for (const float value : x) {
        sum += value;
        magnitude += std::fabs(value);
        squares += static_cast<long double>(value) * value;
      }
      const double unit = double(n + 1) * 0x1p-53;
      EXPECT_NEAR(run_on<Sum>(set, x.data(), n), double(sum), unit * double(magnitude)) << name_of(set) << ", " << n;
      EXPECT_NEAR(run_on<SquareSum>(set, x.data(), n), double(squares), unit * double(squares))
          << name_of(set) << ", " << n;
    }
}

// A square of a float that no float can hold.
TEST(DoubleSum, SquaresNeitherOverflowNorUnderflow) {
  for (const InstructionSet set : sets_of_this_machine()) {
    const std::vector<float> large(40, 0x1p120f), small(40, 0x1p-140f);
    EXPECT_EQ(run_on<SquareSum>(set, large.data(), int64_t{40}), 40 * 0x1p240) << name_of(set);
    EXPECT_EQ(run_on<SquareSum>(set, small.data(), int64_t{40}), 40 * 0x1p-280) << name_of(set);
  }
}

}  // namespace
}  // namespace sotto::kernels
