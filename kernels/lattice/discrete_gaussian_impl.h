#pragma once
#include "kernels/lattice/discrete_gaussian.h"
#include "kernels/lattice/uint128.h"
#include "kernels/noise/chacha20_impl.h"

namespace sotto::kernels {

// No branch, address or shift by more than a word depends on what is drawn. Additions, comparisons and 64-bit products
// take the same time for all operands on x86-64, on 64-bit Arm and on GPUs.

inline constexpr int kLargestLog2Scale = 40;
// All of them fail for a draw with probability 0.32^96 < 2^-157; it is then 0.
inline constexpr int kDiscreteGaussianAttempts = 96;

SOTTO_FORMULA constexpr Uint128 wide(uint64_t high, uint64_t low) {
  return Uint128{high} << 64 | low;
}

// a · b / 2^128, or up to 3 less: three partial products are cut off below 2^0, the lowest is left out.
SOTTO_FORMULA Uint128 multiply_high(Uint128 a, Uint128 b) {
  const uint64_t a1 = static_cast<uint64_t>(a >> 64), a0 = static_cast<uint64_t>(a);
  const uint64_t b1 = static_cast<uint64_t>(b >> 64), b0 = static_cast<uint64_t>(b);
  return Uint128{a1} * b1 + (Uint128{a1} * b0 >> 64) + (Uint128{a0} * b1 >> 64);
}

// 1 where a < b, for a and b up to 2^127: written as a comparison, compilers make branches of it.
SOTTO_FORMULA uint64_t less(Uint128 a, Uint128 b) {
  return static_cast<uint64_t>((a - b) >> 127);
}

// z ≥ 0 with P(z) ∝ 2^-z² from 127 random bits: the number of thresholds ⌊2^127 P(Z ≥ j)⌋ above them. All thresholds
// are compared with. Each is wrong by less than 2^-127 and P(Z ≥ 12) < 2^-142: the probabilities are wrong by 2^-122 in
// total.
SOTTO_FORMULA uint64_t binary_half_gaussian(Uint128 bits) {
  constexpr uint64_t kTails[11][2] = {
      {0x2e2eddc9b52527fbu, 0x3d12254d9c37003au}, {0x05464cae8fb7bbf8u, 0xdb9b37f46a528057u},
      {0x00293a8b2b0a0e78u, 0x8f6c5a494415f05bu}, {0x000051fa0fe4a10cu, 0x8d0ae35beae40bdbu},
      {0x00000028edae5631u, 0xb506206e1031a812u}, {0x00000000051d3b0cu, 0x479a1e0c99444ee0u},
      {0x00000000000028e8u, 0xe2ec708c4d157135u}, {0x0000000000000000u, 0x51d14b1ee1130fbeu},
      {0x0000000000000000u, 0x000028e8963837b9u}, {0x0000000000000000u, 0x00000000051d124cu},
      {0x0000000000000000u, 0x0000000000000028u}};
  uint64_t z = 0;
  for (int j = 0; j < 11; ++j) z += less(bits, wide(kTails[j][0], kTails[j][1]));
  return z;
}

// 2^127 · 2^-f for f = fraction / 2^128, wrong by less than 2^6; 2^127 for f = 0.
//
// With f = b/256 + r, 2^-r is its Taylor polynomial of degree 11 in Horner's form, and each bit of b takes its share
// 1 - 2^-2^-i off. Errors in units of 2^-128 until the shares: the remainder r^12 ln2^12 / 12! < 2^-131 is below one.
// The first four coefficients are in 64 bits: less than 3.1 units of 2^-64 there, less than 3.1 when r < 2^-8 has
// multiplied it eight times. Coefficient and product of the last step but one are wrong by 4 more, of which r leaves
// less than one, and the last product by 3: less than 8, or 4 units of 2^-127, and one for the halving. A share adds at
// most 4 units (3 for the product, one for its constant) and shrinks what was there: 5 + 8 · 4 < 2^6.
SOTTO_FORMULA Uint128 power_of_half(Uint128 fraction) {
  constexpr uint64_t kTaylor[12][2] = {{0, 0},  // ln2^n / n!
                                       {0xb17217f7d1cf79abu, 0xc9e3b39803f2f6afu},
                                       {0x3d7f7bff058b1d50u, 0xde2d60dd92e6bf95u},
                                       {0x0e35846b82505fc5u, 0x99d3b15d995e96f7u},
                                       {0x0276556df749cee5u, 0x39977c16a7dd58a0u},
                                       {0x005761ff9e299cc4u, 0x41c5fda69452fb0cu},
                                       {0x000a184897c363c3u, 0xb7a58544c3591a0fu},
                                       {0x0000ffe5fe2c4586u, 0x34358a8e643ec734u},
                                       {0x0000162c0223a5c8u, 0x23fd8ffe606da77cu},
                                       {0x000001b5253d395eu, 0x7c3da4a70e5a4ff9u},
                                       {0x0000001e4cf5158bu, 0x8ec9f6fda1d952e7u},
                                       {0x00000001e8cac735u, 0x1bb24c0f57995e47u}};
  constexpr uint64_t kShares[8][2] = {
      {0x4afb0ccc06219b7bu, 0xa682764c8ab54160u}, {0x28bb03352962950bu, 0xc65974466fd2c021u},
      {0x153f391822dbc6d1u, 0x2fd28a4c8f91ab05u}, {0x0ada82eadb7933d3u, 0x8462f3851267f03cu},
      {0x057c4d248dd5fcc5u, 0x83da44ebcea28033u}, {0x02c1f3f30b793e8bu, 0x7ac0c5a6ce1f11fcu},
      {0x0161eea3847077b4u, 0x522da66a1862d0f6u}, {0x00b134a6aee1375au, 0xcfe45de810e72283u}};
  const Uint128 r = fraction << 8 >> 8;
  const uint64_t r64 = static_cast<uint64_t>(r >> 64);
  uint64_t sum64 = kTaylor[11][0];
  for (int n = 10; n >= 8; --n) sum64 = kTaylor[n][0] - static_cast<uint64_t>(Uint128{r64} * sum64 >> 64);
  Uint128 sum = Uint128{sum64} << 64;
  for (int n = 7; n >= 1; --n) sum = wide(kTaylor[n][0], kTaylor[n][1]) - multiply_high(r, sum);
  Uint128 power = (Uint128{1} << 127) - (multiply_high(r, sum) >> 1);
  for (int i = 0; i < 8; ++i) {
    const Uint128 taken = -(fraction >> (127 - i) & 1);  // all ones where the bit is set
    power -= multiply_high(power, wide(kShares[i][0], kShares[i][1])) & taken;
  }
  return power;
}

// 2^127 · 2^-E, E = x (x + 2kz) / k², for x < k = 2^log2_scale and z ≤ 11; wrong by less than 2^6 + 1. E has
// 2 · log2_scale ≤ 80 binary places and is taken exactly.
SOTTO_FORMULA Uint128 acceptance(uint64_t x, uint64_t z, int log2_scale) {
  const Uint128 exponent = Uint128{x} * (x + (z << (log2_scale + 1)));
  const Uint128 power = power_of_half(exponent << (127 - 2 * log2_scale) << 1);
  const int halvings = static_cast<int>(exponent >> (2 * log2_scale));  // at most 23
  const uint64_t high = static_cast<uint64_t>(power >> 64), low = static_cast<uint64_t>(power);
  return wide(high >> halvings, low >> halvings | high << 1 << (63 - halvings));
}

struct Attempt {
  int64_t value;  // 0 unless accepted
  int64_t accepted;
};

// Of the block's words at 0, stride, 2 · stride, … the first four decide, the next four are z's, two are x's, one is
// the sign's. The probabilities of what an attempt accepts are wrong by 2^-122 + 65 · 2^-127 < 2^-120 in total and have
// the sum 0.68. Dividing by that sum leaves a total variation of at most 2^-120 / 0.68, which with the 2^-157 of
// attempts that all fail is below kDiscreteGaussianDistance.
template <int stride>
SOTTO_FORMULA Attempt attempt_discrete_gaussian(const uint32_t* words, int log2_scale) {
  const auto pair = [words](int i) { return uint64_t{words[(i + 1) * stride]} << 32 | words[i * stride]; };
  const Uint128 decision = wide(pair(2), pair(0)) >> 1;
  const uint64_t z = binary_half_gaussian(wide(pair(6), pair(4)) >> 1);
  const uint64_t x = pair(8) >> 1 >> (63 - log2_scale);
  const uint64_t negative = words[10 * stride] & 1;
  const uint64_t magnitude = x + (z << log2_scale);
  const uint64_t minus_zero = negative & ~((magnitude | -magnitude) >> 63);
  const uint64_t accepted = less(decision, acceptance(x, z, log2_scale)) & ~minus_zero;
  const uint64_t value = ((magnitude ^ -negative) + negative) & -accepted;
  return {static_cast<int64_t>(value), static_cast<int64_t>(accepted)};
}

// The stream of everybody's attempt number `attempt`, counted from 0.
SOTTO_FORMULA StreamKey attempt_stream(StreamKey stream, int attempt) {
  stream.nonce[0] += static_cast<uint32_t>(attempt);
  return stream;
}

void add_discrete_gaussian_cuda(const Exec& exec, const StreamKey& stream, int log2_scale, uint32_t first,
                                VectorView<int64_t> out);

}  // namespace sotto::kernels
