#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/lattice/lattice.h"
#include "kernels/noise/shared.h"

namespace sotto::kernels {

// A double of at most this size is turned into its nearest integer by adding a power of two.
inline constexpr double kLargestPoint = 0x1p50;

// |value| rounded to a whole number, for |value| ≤ kLargestPoint. A negative value's integer is minus this one.
template <Rounding rounding>
SOTTO_FORMULA double rounded_magnitude(double value) {
  const double magnitude = fabs(value);  // a branch on the sign would keep loops from being vectorised
  const double nearest = (magnitude + 0x1p52) - 0x1p52;
  if (rounding == Rounding::nearest) return nearest;
  return nearest - (nearest > magnitude ? 1.0 : 0.0);
}

// A whole number of at most kLargestPoint; the sum's low bits are the integer.
SOTTO_FORMULA int64_t to_integer(double whole) {
  return __builtin_bit_cast(int64_t, whole + 0x1.8p52) - __builtin_bit_cast(int64_t, 0x1.8p52);
}

template <Rounding rounding>
SOTTO_FORMULA int64_t lattice_point(double value) {
  const double magnitude = rounded_magnitude<rounding>(value);
  return to_integer(copysign(magnitude, value));
}

// In two halves of 25 bits, x² = 2^50 high² + 2^26 high · low + low², sums stay in 64 bits for 2^12 entries.
inline constexpr int64_t kSquaresAtOnce = 1 << 12;
struct SquareSums {
  uint64_t high = 0, mixed = 0, low = 0;
  uint64_t out_of_range = 0;  // entries
};

template <Rounding rounding>
SOTTO_FORMULA void add_square(double value, SquareSums& sums) {
  const uint64_t outside = fabs(value) <= kLargestPoint ? 0 : 1;  // 1 of NaN
  // Without a branch; what is outside counts as zero.
  const uint64_t x = static_cast<uint64_t>(to_integer(rounded_magnitude<rounding>(value))) & (outside - 1);
  const uint64_t high = x >> 25, low = x & ((1u << 25) - 1);
  sums.high += high * high;
  sums.mixed += high * low;
  sums.low += low * low;
  sums.out_of_range += outside;
}

SOTTO_FORMULA Uint128 saturating_sum(Uint128 a, Uint128 b) {
  const Uint128 sum = a + b;
  return sum < a ? kLargestUint128 : sum;
}

SOTTO_FORMULA Uint128 total(const SquareSums& sums) {
  if (sums.out_of_range != 0) return kLargestUint128;
  return (Uint128{sums.high} << 50) + (Uint128{sums.mixed} << 26) + sums.low;
}

SOTTO_FORMULA float from_lattice(int64_t sum, double step) {
  return static_cast<float>(step * static_cast<double>(sum));
}

void accumulate_lattice_norms_cuda(const Exec& exec, MatrixView<const float> rows, VectorView<const float> factors,
                                   VectorView<const Rounding> roundings, double step, VectorView<Uint128> squared);
void accumulate_on_lattice_cuda(const Exec& exec, MatrixView<const float> rows, VectorView<const float> factors,
                                VectorView<const Rounding> roundings, double step, VectorView<int64_t> sums);
void scale_from_lattice_cuda(const Exec& exec, VectorView<const int64_t> sums, double step, VectorView<float> out);

}  // namespace sotto::kernels
