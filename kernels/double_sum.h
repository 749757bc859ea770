#pragma once
#include "kernels/lanes.h"

namespace sotto::kernels {

// Eight doubles in registers of V: of[0] has the first lanes. Sums in them have one order, whatever the instruction
// set.
template <class V>
struct EightDoubles {
  static constexpr int kParts = static_cast<int>(8 / kDoubles<V>);
  Doubles<V> of[kParts];

  // The first `count` of eight floats, or Bfloat16, and zeros.
  template <class T>
  SOTTO_INLINE void take(const T* from, int64_t count) {
#pragma GCC unroll 2
    for (int part = 0; part < kParts; ++part)
      load_wide<V>(of[part], from + part * kDoubles<V>, count - part * kDoubles<V>);
  }
  SOTTO_INLINE double sum() const {
    double x[8];
    std::memcpy(x, of, sizeof(x));
    return ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]));
  }
};

// Σ x or, squared, Σ x² in double: the square of a float is exact there and can neither overflow nor underflow.
template <class V, bool kSquared = false, class T = float>
SOTTO_INLINE double double_sum(const T* x, int64_t n) {
  constexpr int parts = EightDoubles<V>::kParts;
  EightDoubles<V> sums[4] = {}, wide;
  int64_t j = 0;
  for (; j + 32 <= n; j += 32)
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      wide.take(x + j + 8 * k, 8);
#pragma GCC unroll 2
      for (int part = 0; part < parts; ++part)
        sums[k].of[part] += kSquared ? wide.of[part] * wide.of[part] : wide.of[part];
    }
  for (; j + 8 <= n; j += 8) {
    wide.take(x + j, 8);
#pragma GCC unroll 2
    for (int part = 0; part < parts; ++part)
      sums[0].of[part] += kSquared ? wide.of[part] * wide.of[part] : wide.of[part];
  }
#pragma GCC unroll 2
  for (int part = 0; part < parts; ++part)
    sums[0].of[part] = (sums[0].of[part] + sums[1].of[part]) + (sums[2].of[part] + sums[3].of[part]);
  double total = sums[0].sum();
  for (; j < n; ++j) total += kSquared ? double(to_float(x[j])) * to_float(x[j]) : double(to_float(x[j]));
  return total;
}

template <class V, class T>
SOTTO_INLINE double square_sum(const T* x, int64_t n) {
  return double_sum<V, true>(x, n);
}

}  // namespace sotto::kernels
