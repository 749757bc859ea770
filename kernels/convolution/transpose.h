#pragma once
#include "kernels/vectorised.h"

namespace sotto::kernels {

SOTTO_INLINE const Float8Unaligned& load8(const float* x) {
  return *reinterpret_cast<const Float8Unaligned*>(x);
}

// Rows to columns of an 8 x 8 block, in registers.
SOTTO_INLINE void transpose8(Float8 (&r)[8]) {
  Float8 pairs[8], fours[8];
  for (int k = 0; k < 8; k += 2) {
    pairs[k] = __builtin_shufflevector(r[k], r[k + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    pairs[k + 1] = __builtin_shufflevector(r[k], r[k + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int k = 0; k < 8; k += 4)
    for (int half = 0; half < 2; ++half) {
      const Float8 a = pairs[k + half], b = pairs[k + 2 + half];
      fours[k + 2 * half] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
      fours[k + 2 * half + 1] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int k = 0; k < 4; ++k) {
    r[k] = __builtin_shufflevector(fours[k], fours[4 + k], 0, 1, 2, 3, 8, 9, 10, 11);
    r[4 + k] = __builtin_shufflevector(fours[k], fours[4 + k], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

// out[c · out_stride + r] = in[r · in_stride + c]
SOTTO_INLINE void transpose(const float* in, int64_t in_stride, int64_t rows, int64_t cols, float* out,
                            int64_t out_stride) {
  int64_t r = 0;
  for (; r + 8 <= rows; r += 8) {
    const float* from = in + r * in_stride;
    int64_t c = 0;
    for (; c + 8 <= cols; c += 8) {
      Float8 block[8];
      for (int k = 0; k < 8; ++k) block[k] = load8(from + k * in_stride + c);
      transpose8(block);
      for (int k = 0; k < 8; ++k) *reinterpret_cast<Float8Unaligned*>(out + (c + k) * out_stride + r) = block[k];
    }
    for (; c < cols; ++c)
      for (int k = 0; k < 8; ++k) out[c * out_stride + r + k] = from[k * in_stride + c];
  }
  for (int64_t c = 0; c < cols; ++c)
    for (int64_t k = r; k < rows; ++k) out[c * out_stride + k] = in[k * in_stride + c];
}

}  // namespace sotto::kernels
