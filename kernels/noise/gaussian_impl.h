#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/noise/chacha20_impl.h"
#include "kernels/noise/philox_impl.h"

namespace sotto::kernels {

// How a stream becomes normals. Element i is normal i % 8 of block i / 8. With the block's words w, pair p = 0…3 is
//   x = w[4p] + 2^32 w[4p+1],   u = (x + 1) / 2^64 in (0, 1],   θ = 2π (w[4p+2] + ½) / 2^32,
//   normals 2p and 2p + 1 = r cos θ and r sin θ with r = sqrt(-2 ln u)  (Box and Muller 1958).
// Word 4p + 3 is not used: eight to a block keeps every cut of a tensor a shift.
inline constexpr int kLog2NormalsPerBlock = 3, kNormalsPerBlock = 1 << kLog2NormalsPerBlock;

// One lane: what a CUDA thread computes with. gaussian_batch.h has the CPU's vectors.
struct OneLane {
  using Word = uint32_t;
  using Int = int32_t;
  using Float = float;
  static SOTTO_FORMULA void to_float(const Word& from, Float& to) { to = static_cast<float>(from); }
  static SOTTO_FORMULA void to_float(const Int& from, Float& to) { to = static_cast<float>(from); }
  static SOTTO_FORMULA void take_root(Float& x) { x = sqrtf(x); }
  // The products of Philox take 64 bits: what a Word becomes is kWides numbers, of which the upper halves do not count.
  using Wide = uint64_t;
  static constexpr int kWides = 1;
  static SOTTO_FORMULA void widen(const Word& from, Wide* to) { to[0] = from; }
  static SOTTO_FORMULA void narrow(const Wide* from, Word& to) { to = static_cast<Word>(from[0]); }
  static SOTTO_FORMULA void multiply(const Wide& a, uint32_t b, Wide& product) {
    product = uint64_t{static_cast<uint32_t>(a)} * b;
  }
};

// -ln((x + 1) / 2^64) for x = low + 2^32 high, to about an ulp on all of its range: at the tail x + 1 is a small
// number, near u = 1 what is left of u is taken from ~x, of which no bit is lost.
template <class L>
SOTTO_FORMULA void minus_log_uniform(const typename L::Word& low, const typename L::Word& high,
                                     typename L::Float& result) {
  using Word = typename L::Word;
  using Int = typename L::Int;
  using Float = typename L::Float;
  Float high_part, low_part, rest_high, rest_low, halvings;
  L::to_float(high, high_part);
  L::to_float(low, low_part);
  L::to_float(~high, rest_high);
  L::to_float(~low, rest_low);
  const Float scaled = high_part * 0x1p32f + (low_part + 1.0f);   // u · 2^64
  const Float rest = rest_high * 0x1p-32f + rest_low * 0x1p-64f;  // 1 - u
  // u = 2^-halvings · (1 + f) with 1 + f in [sqrt½, sqrt2)
  const Word bits = __builtin_bit_cast(Word, scaled);
  const Int exponent = __builtin_bit_cast(Int, bits - 0x3f3504f3u) >> 23;
  const Word mantissa = bits - (__builtin_bit_cast(Word, exponent) << 23);
  L::to_float(64 - exponent, halvings);
  const Float f = exponent == 64 ? -rest : __builtin_bit_cast(Float, mantissa) - 1.0f;
  // ln(1 + f) = f - f²/2 + f³ p(f), with the minimax p that is wrong by at most 7e-9 of f (Remez exchange)
  Float p = f * -0.0785984248f + 0.12881726f;
  p = p * f - 0.131287098f;
  p = p * f + 0.141811803f;
  p = p * f - 0.16624558f;
  p = p * f + 0.200022861f;
  p = p * f - 0.250008106f;
  p = p * f + 0.333333164f;
  const Float square = f * f;
  // ln 2 in two parts, of which 0.693359375 has so few bits that its product is exact
  const Float small = (f * square * p - halvings * -2.12194440e-4f) - 0.5f * square;
  result = halvings * 0.693359375f - (f + small);
}

// cos and sin of 2π (turn + ½) / 2^32. The half makes the 2^32 angles symmetric, so that both have mean exactly 0.
template <class L>
SOTTO_FORMULA void cos_sin_turn(const typename L::Word& turn, typename L::Float& cosine, typename L::Float& sine) {
  using Word = typename L::Word;
  using Int = typename L::Int;
  using Float = typename L::Float;
  const Word quadrant = (turn + 0x20000000u) >> 30;
  const Word offset = ((turn - (quadrant << 30)) << 1) + 1u;
  Float z;
  L::to_float(__builtin_bit_cast(Int, offset), z);
  z = z * 0x1p-30f;  // in eighths of a turn, within ±1
  const Float t = z * z;
  // minimax in t on [0, 1]: sin(zπ/4) / z to 4e-8, cos(zπ/4) to 7e-9
  const Float s = z * (((t * -3.5950452e-05f + 0.00249000103f) * t - 0.0807454363f) * t + 0.785398185f);
  const Float c = (((t * 3.52981147e-06f - 0.000325938629f) * t + 0.0158543251f) * t - 0.308425128f) * t + 1.0f;
  const Word sine_bits = __builtin_bit_cast(Word, s), cosine_bits = __builtin_bit_cast(Word, c);
  const Word swap = -(quadrant & 1u);  // all ones where the axes change places
  const Word change = (sine_bits ^ cosine_bits) & swap;
  const Word cosine_signed = (cosine_bits ^ change) ^ ((quadrant + 1u) & 2u) << 30;
  const Word sine_signed = (sine_bits ^ change) ^ (quadrant & 2u) << 30;
  cosine = __builtin_bit_cast(Float, cosine_signed);
  sine = __builtin_bit_cast(Float, sine_signed);
}

// How many blocks a stream has: what fits the counter.
constexpr int log2_blocks(Generator generator) {
  return generator == Generator::philox ? kLog2PhiloxBlocks : 32;
}

// Lane by lane, the eight normals of the blocks numbered `block`. `generator` is the stream's.
template <Generator generator, class L>
SOTTO_FORMULA void gaussian_blocks(const StreamKey& stream, const typename L::Word& block,
                                   typename L::Float (&normals)[kNormalsPerBlock]) {
  typename L::Word words[16];
  if constexpr (generator == Generator::philox)
    philox_block<L>(stream, block, words);
  else
    chacha20_block(stream, block, words);
  for (int p = 0; p < 4; ++p) {
    typename L::Float radius, cosine, sine;
    minus_log_uniform<L>(words[4 * p], words[4 * p + 1], radius);
    radius = radius * 2.0f;
    L::take_root(radius);
    cos_sin_turn<L>(words[4 * p + 2], cosine, sine);
    normals[2 * p] = radius * cosine;
    normals[2 * p + 1] = radius * sine;
  }
}

}  // namespace sotto::kernels
