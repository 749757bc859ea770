#pragma once
#include <algorithm>
#include <cstring>

#include "kernels/bfloat16.h"
#include "kernels/vectorised.h"

// Vectors of one register: V is its floats, Float16 of AVX-512 and Float8 elsewhere. They are passed by reference into
// functions that are always inlined: no call, hence no calling convention that the instruction set could change.

namespace sotto::kernels {

template <class V>
struct LanesOf;
template <>
struct LanesOf<Float16> {
  using Unaligned = Float16Unaligned;
  using Doubles = Double8;  // a register of them
  using DoublesUnaligned = Double8Unaligned;
  using Half = Float8;  // the floats that widen to it
  using HalfUnaligned = Float8Unaligned;
  typedef uint32_t Bits __attribute__((vector_size(64)));
};
template <>
struct LanesOf<Float8> {
  using Unaligned = Float8Unaligned;
  using Doubles = Double4;
  using DoublesUnaligned = Double4Unaligned;
  using Half = Float4;
  using HalfUnaligned = Float4Unaligned;
  typedef uint32_t Bits __attribute__((vector_size(32)));
};

template <class V>
constexpr int64_t kWidth = static_cast<int64_t>(sizeof(V) / sizeof(float));

template <class V>
using Doubles = typename LanesOf<V>::Doubles;
template <class V>
constexpr int64_t kDoubles = kWidth<V> / 2;

// Body::run<V>(arguments...), a SOTTO_INLINE function, compiled for every instruction set; run_on takes the code of
// one.
template <class Body, class... Arguments>
SOTTO_FOR_AVX512 auto run_on_avx512(Arguments... arguments) {
  return Body::template run<Float16>(arguments...);
}
template <class Body, class... Arguments>
SOTTO_FOR_AVX2 auto run_on_avx2(Arguments... arguments) {
  return Body::template run<Float8>(arguments...);
}
template <class Body, class... Arguments>
auto run_on_plain(Arguments... arguments) {
  return Body::template run<Float8>(arguments...);
}
template <class Body, class... Arguments>
auto code_on(InstructionSet set) {
  return for_set(set, run_on_avx512<Body, Arguments...>, run_on_avx2<Body, Arguments...>,
                 run_on_plain<Body, Arguments...>);
}
template <class Body, class... Arguments>
auto run_on(InstructionSet set, Arguments&&... arguments) {
  return code_on<Body, Arguments&...>(set)(arguments...);
}
template <class Body, class... Arguments>
auto run_widest(Arguments&&... arguments) {
  return run_on<Body>(best_instruction_set(), arguments...);
}

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

SOTTO_INLINE void widen(const Float8& x, Double8& d) {
  d = __builtin_convertvector(x, Double8);
}
SOTTO_INLINE void widen(const Float4& x, Double4& d) {
  d = Double4{x[0], x[1], x[2], x[3]};  // one instruction; GCC 12 makes two of __builtin_convertvector and joins them
}

// As many floats as fit the vector: the upper halves of words.
SOTTO_INLINE void load_narrow(Float8& v, const Bfloat16* from) {
  typedef uint16_t Halves __attribute__((vector_size(16)));
  typedef uint32_t Words __attribute__((vector_size(32)));
  Halves halves;
  std::memcpy(&halves, from, sizeof(halves));
  const Words words = __builtin_convertvector(halves, Words) << 16;
  std::memcpy(&v, &words, sizeof(v));
}
SOTTO_INLINE void load_narrow(Float4& v, const Bfloat16* from) {
  typedef uint16_t Halves __attribute__((vector_size(8)));
  typedef uint32_t Words __attribute__((vector_size(16)));
  Halves halves;
  std::memcpy(&halves, from, sizeof(halves));
  const Words words = __builtin_convertvector(halves, Words) << 16;
  std::memcpy(&v, &words, sizeof(v));
}
SOTTO_INLINE void load_narrow(Float8& v, const float* from) {
  v = *reinterpret_cast<const Float8Unaligned*>(from);
}
SOTTO_INLINE void load_narrow(Float4& v, const float* from) {
  v = *reinterpret_cast<const Float4Unaligned*>(from);
}

// kDoubles<V> floats, or Bfloat16, as doubles.
template <class V, class T>
SOTTO_INLINE void load_wide(Doubles<V>& d, const T* from) {
  typename LanesOf<V>::Half narrow;
  load_narrow(narrow, from);
  widen(narrow, d);
}

template <class V, class T>
SOTTO_INLINE void load_wide(Doubles<V>& d, const T* from, int64_t count) {
  if (count >= kDoubles<V>) return load_wide<V>(d, from);
  T rest[kDoubles<V>] = {};
  if (count > 0) std::memcpy(rest, from, static_cast<size_t>(count) * sizeof(T));
  load_wide<V>(d, static_cast<const T*>(rest));
}

template <class V>
SOTTO_INLINE void store_narrow(const Doubles<V>& d, float* to, int64_t count) {
  const typename LanesOf<V>::Half narrow = __builtin_convertvector(d, typename LanesOf<V>::Half);
  if (count >= kDoubles<V>)
    *reinterpret_cast<typename LanesOf<V>::HalfUnaligned*>(to) = narrow;
  else if (count > 0)
    std::memcpy(to, &narrow, static_cast<size_t>(count) * sizeof(float));
}

template <class V>
SOTTO_INLINE typename LanesOf<V>::DoublesUnaligned& doubles_at(double* place) {
  return *reinterpret_cast<typename LanesOf<V>::DoublesUnaligned*>(place);
}
template <class V>
SOTTO_INLINE const typename LanesOf<V>::DoublesUnaligned& doubles_at(const double* place) {
  return *reinterpret_cast<const typename LanesOf<V>::DoublesUnaligned*>(place);
}

// The sum of the floats of a register, in double.
template <class V>
SOTTO_INLINE double lane_sum(const V& x) {
  typename LanesOf<V>::Half halves[2];
  std::memcpy(halves, &x, sizeof(x));
  Doubles<V> wide[2];
  widen(halves[0], wide[0]);
  widen(halves[1], wide[1]);
  wide[0] += wide[1];
  double sums[kDoubles<V>];
  std::memcpy(sums, wide, sizeof(sums));
#pragma GCC unroll 3
  for (int64_t n = kDoubles<V> / 2; n > 0; n /= 2)
#pragma GCC unroll 4
    for (int64_t k = 0; k < n; ++k) sums[k] += sums[k + n];
  return sums[0];
}

}  // namespace sotto::kernels
