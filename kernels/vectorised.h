#pragma once
#include <cstdint>
#include <cstring>

#include "base/instruction_set.h"

namespace sotto::kernels {

// Sixteen floats and eight doubles: one register of AVX-512, two of AVX2, four of SSE.
typedef float Float16 __attribute__((vector_size(64)));
typedef float Float8 __attribute__((vector_size(32)));
typedef double Double8 __attribute__((vector_size(64)));
typedef float Float16Unaligned __attribute__((vector_size(64), aligned(4), may_alias));
typedef float Float8Unaligned __attribute__((vector_size(32), aligned(4), may_alias));
typedef double Double8Unaligned __attribute__((vector_size(64), aligned(8), may_alias));

// In double: the square of a float is exact there and can neither overflow nor underflow.
SOTTO_INLINE double square_sum(const float* x, int64_t n) {
  Double8 sums[4] = {};
  int64_t j = 0;
  for (; j + 32 <= n; j += 32)
    for (int k = 0; k < 4; ++k) {
      const Double8 wide = __builtin_convertvector(*reinterpret_cast<const Float8Unaligned*>(x + j + 8 * k), Double8);
      sums[k] += wide * wide;
    }
  for (; j + 8 <= n; j += 8) {
    const Double8 wide = __builtin_convertvector(*reinterpret_cast<const Float8Unaligned*>(x + j), Double8);
    sums[0] += wide * wide;
  }
  const Double8 sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double total = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
  for (; j < n; ++j) total += double(x[j]) * x[j];
  return total;
}

}  // namespace sotto::kernels
