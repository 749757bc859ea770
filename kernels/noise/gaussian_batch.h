#pragma once
#include "base/instruction_set.h"
#include "kernels/noise/gaussian_impl.h"

namespace sotto::kernels {

// product = (a mod 2^32) · b, in each of the 64-bit integers.
template <class Wide>
SOTTO_FORMULA void multiply_lower(const Wide& a, uint32_t b, Wide& product) {
  product = (a & 0xffffffffu) * uint64_t{b};
}
// GCC 12 makes such a product of three to seven instructions where one does it: it does not see that the upper halves
// are zero. An intrinsic could not be inlined here, where the instruction set is not known yet.
typedef uint64_t Wide2 __attribute__((vector_size(16)));
typedef uint64_t Wide4 __attribute__((vector_size(32)));
typedef uint64_t Wide8 __attribute__((vector_size(64)));
#ifndef SOTTO_BASELINE_ALONE
SOTTO_FORMULA void multiply_lower(const Wide2& a, uint32_t b, Wide2& product) {
  const Wide2 factor = Wide2{} + uint64_t{b};
  product = a;
  asm("pmuludq %1, %0" : "+x"(product) : "x"(factor));
}
SOTTO_FORMULA void multiply_lower(const Wide4& a, uint32_t b, Wide4& product) {
  const Wide4 factor = Wide4{} + uint64_t{b};
  asm("vpmuludq %2, %1, %0" : "=x"(product) : "x"(a), "x"(factor));
}
#ifndef SOTTO_WITHOUT_AVX512
SOTTO_FORMULA void multiply_lower(const Wide8& a, uint32_t b, Wide8& product) {
  const Wide8 factor = Wide8{} + uint64_t{b};
  asm("vpmuludq %2, %1, %0" : "=v"(product) : "v"(a), "v"(factor));
}
#endif
#endif

// `count` blocks at once, a block a lane: one vector register a word of ChaCha's state, two a word of Philox's.
template <int count>
struct Lanes {
  static constexpr int kCount = count;
  typedef uint32_t Word __attribute__((vector_size(4 * count)));
  typedef int32_t Int __attribute__((vector_size(4 * count)));
  typedef float Float __attribute__((vector_size(4 * count)));
  template <class Integers>
  static SOTTO_FORMULA void to_float(const Integers& from, Float& to) {
    to = __builtin_convertvector(from, Float);
  }
  static SOTTO_FORMULA void take_root(Float& x) {
    float lanes[count];
    __builtin_memcpy(lanes, &x, sizeof x);
    for (int i = 0; i < count; ++i) lanes[i] = __builtin_sqrtf(lanes[i]);
    __builtin_memcpy(&x, lanes, sizeof x);
  }
  // The even lanes, then the odd ones.
  typedef uint64_t Wide __attribute__((vector_size(4 * count)));
  static constexpr int kWides = 2;
  static SOTTO_FORMULA void widen(const Word& from, Wide* to) {
    to[0] = reinterpret_cast<Wide>(from);
    to[1] = to[0] >> 32;
  }
  static SOTTO_FORMULA void narrow(const Wide* from, Word& to) {
    const Wide both = (from[0] & 0xffffffffu) | from[1] << 32;
    to = reinterpret_cast<Word>(both);
  }
  template <class Integers>
  static SOTTO_FORMULA void multiply(const Integers& a, uint32_t b, Integers& product) {
    multiply_lower(a, b, product);
  }
};

// The normals of `count` blocks from number `block` on, in element order.
template <Generator generator, int count>
SOTTO_FORMULA void draw_batch(const StreamKey& stream, uint32_t block, float* normals) {
  using Word = typename Lanes<count>::Word;
  using Float = typename Lanes<count>::Float;
  Word numbers, low;
  for (int i = 0; i < count; ++i) numbers[i] = block + static_cast<uint32_t>(i);
  for (int i = 0; i < count; ++i) low[i] = static_cast<uint32_t>(i / 2 + i % 2 * count);
  Float rows[kNormalsPerBlock];
  gaussian_blocks<generator, Lanes<count>>(stream, numbers, rows);
  // From rows by slot to element order, count · slot + lane to 8 · lane + slot: three perfect shuffles of the 8 · count
  // numbers, each of which moves the index's top bit to the bottom.
  for (int shuffle = 0; shuffle < 3; ++shuffle) {
    Float mixed[kNormalsPerBlock];
    for (int i = 0; i < 4; ++i) {
      mixed[2 * i] = __builtin_shuffle(rows[i], rows[i + 4], low);
      mixed[2 * i + 1] = __builtin_shuffle(rows[i], rows[i + 4], low + static_cast<uint32_t>(count / 2));
    }
    __builtin_memcpy(rows, mixed, sizeof rows);
  }
  __builtin_memcpy(normals, rows, sizeof rows);
}

}  // namespace sotto::kernels
