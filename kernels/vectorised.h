#pragma once
#include <cstdint>
#include <cstring>

// SOTTO_VECTORISED compiles a function three times (AVX-512, AVX2, baseline); the loader picks one by the processor. A
// lambda does not inherit it: parallel_for's lambda calls a SOTTO_VECTORISED function on its range. The picking runs
// before a sanitizer's runtime is ready, so sanitized builds have the baseline alone.
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define SOTTO_VECTORISED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SOTTO_VECTORISED
#endif
// What a SOTTO_VECTORISED function calls must be inlined into each of its copies.
#define SOTTO_INLINE inline __attribute__((always_inline))

namespace sotto::kernels {

// Sixteen floats and eight doubles: one register of AVX-512, two of AVX2, four of SSE.
typedef float Float16 __attribute__((vector_size(64)));
typedef float Float8 __attribute__((vector_size(32)));
typedef double Double8 __attribute__((vector_size(64)));
typedef float Float16Unaligned __attribute__((vector_size(64), aligned(4), may_alias));
typedef float Float8Unaligned __attribute__((vector_size(32), aligned(4), may_alias));
typedef double Double8Unaligned __attribute__((vector_size(64), aligned(8), may_alias));

inline bool has_avx512() {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
  return __builtin_cpu_supports("avx512f");
#else
  return false;
#endif
}

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
