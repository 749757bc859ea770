#pragma once
#include <cstdint>

#include "base/random_key.h"
#include "kernels/noise/shared.h"

namespace sotto::kernels {

// Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3) of
// `count` counters of four words, under one key of two: ten rounds of two products. `Wide` are 64-bit integers, or
// vectors of them, whose lower halves are the words; what is above them is not read. Counters side by side hide the
// products' latency.
template <class L, int count>
SOTTO_FORMULA void philox4x32(typename L::Wide (&words)[4][count], uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < count; ++i) {
      typename L::Wide first, second;
      L::multiply(words[0][i], 0xd2511f53u, first);
      L::multiply(words[2][i], 0xcd9e8d57u, second);
      words[0][i] = second >> 32 ^ words[1][i] ^ uint64_t { key0 };
      words[2][i] = first >> 32 ^ words[3][i] ^ uint64_t { key1 };
      words[1][i] = second;
      words[3][i] = first;
    }
    key0 += 0x9e3779b9u;
    key1 += 0xbb67ae85u;
  }
}

// Blocks of a stream have numbers below 2^30.
inline constexpr int kLog2PhiloxBlocks = 30;

// Block number `block` of the stream: words 4i … 4i + 3 are Philox of the counter (4 · block + i, nonce) under the
// first two words of the key.
template <class L>
SOTTO_FORMULA void philox_block(const StreamKey& stream, const typename L::Word& block, typename L::Word (&words)[16]) {
  constexpr int wides = L::kWides;
  typename L::Wide state[4][4 * wides];
  for (int i = 0; i < 4; ++i) L::widen((block << 2) + static_cast<uint32_t>(i), state[0] + i * wides);
  for (int n = 0; n < 3; ++n)
    for (int i = 0; i < 4 * wides; ++i) state[1 + n][i] = typename L::Wide{} + uint64_t{stream.nonce[n]};
  philox4x32<L>(state, stream.key[0], stream.key[1]);
  for (int i = 0; i < 4; ++i)
    for (int n = 0; n < 4; ++n) L::narrow(state[n] + i * wides, words[4 * i + n]);
}

}  // namespace sotto::kernels
