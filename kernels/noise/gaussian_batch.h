#pragma once
#include "kernels/noise/gaussian_impl.h"

namespace sotto::kernels {

// `count` blocks at once, a block a lane: one vector register a word of ChaCha's state.
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
};

// The normals of `count` blocks from number `block` on, in element order.
template <int count>
SOTTO_FORMULA void draw_batch(const StreamKey& stream, uint32_t block, float* normals) {
  using Word = typename Lanes<count>::Word;
  using Float = typename Lanes<count>::Float;
  Word numbers, low;
  for (int i = 0; i < count; ++i) numbers[i] = block + static_cast<uint32_t>(i);
  for (int i = 0; i < count; ++i) low[i] = static_cast<uint32_t>(i / 2 + i % 2 * count);
  Float rows[kNormalsPerBlock];
  gaussian_blocks<Lanes<count>>(stream, numbers, rows);
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
