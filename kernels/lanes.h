#pragma once
#include <algorithm>
#include <cstring>

#include "kernels/vectorised.h"

// Tiles of sums in registers. Vectors are passed by reference into functions that are always inlined: no call, hence no
// calling convention that the instruction set could change.

namespace sotto::kernels {

template <class V>
struct LanesOf;
template <>
struct LanesOf<Float16> {
  using Unaligned = Float16Unaligned;
  typedef uint32_t Bits __attribute__((vector_size(64)));
};
template <>
struct LanesOf<Float8> {
  using Unaligned = Float8Unaligned;
  typedef uint32_t Bits __attribute__((vector_size(32)));
};

template <class V>
constexpr int64_t kWidth = static_cast<int64_t>(sizeof(V) / sizeof(float));

// What fits the registers: 6 rows x 4 vectors and their operands in AVX-512's 32, 3 x 4 in AVX2's 16.
template <class V>
constexpr int64_t kTileRows = kWidth<V> == 16 ? 6 : 3;
constexpr int64_t kTileVectors = 4;

template <class V>
SOTTO_INLINE void load(V& v, const float* from, int64_t count) {
  if (count >= kWidth<V>) {
    v = *reinterpret_cast<const typename LanesOf<V>::Unaligned*>(from);
  } else {
    v = V{};
    if (count > 0) std::memcpy(&v, from, static_cast<size_t>(count) * sizeof(float));
  }
}

template <class V>
SOTTO_INLINE void store(const V& v, float* to, int64_t count) {
  if (count >= kWidth<V>)
    *reinterpret_cast<typename LanesOf<V>::Unaligned*>(to) = v;
  else if (count > 0)
    std::memcpy(to, &v, static_cast<size_t>(count) * sizeof(float));
}

}  // namespace sotto::kernels
