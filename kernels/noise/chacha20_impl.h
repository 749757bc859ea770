#pragma once
#include <cstdint>

#include "base/random_key.h"
#include "kernels/noise/shared.h"

namespace sotto::kernels {

// `Word` is uint32_t, or a vector of them: then each lane is a block of its own counter.
template <class Word>
SOTTO_FORMULA void chacha20_quarter_round(Word& a, Word& b, Word& c, Word& d) {
  a += b, d ^= a, d = d << 16 | d >> 16;
  c += d, b ^= c, b = b << 12 | b >> 20;
  a += b, d ^= a, d = d << 8 | d >> 24;
  c += d, b ^= c, b = b << 7 | b >> 25;
}

// Block number `counter` of the stream, as 16 little-endian words (RFC 8439, section 2.3).
template <class Word>
SOTTO_FORMULA void chacha20_block(const StreamKey& stream, const Word& counter, Word (&words)[16]) {
  const uint32_t constants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};  // "expand 32-byte k"
  for (int i = 0; i < 4; ++i) words[i] = Word{} + constants[i];
  for (int i = 0; i < 8; ++i) words[4 + i] = Word{} + stream.key[i];
  words[12] = counter;
  for (int i = 0; i < 3; ++i) words[13 + i] = Word{} + stream.nonce[i];
  for (int round = 0; round < 20; round += 2) {
    for (int i = 0; i < 4; ++i) chacha20_quarter_round(words[i], words[4 + i], words[8 + i], words[12 + i]);
    chacha20_quarter_round(words[0], words[5], words[10], words[15]);
    chacha20_quarter_round(words[1], words[6], words[11], words[12]);
    chacha20_quarter_round(words[2], words[7], words[8], words[13]);
    chacha20_quarter_round(words[3], words[4], words[9], words[14]);
  }
  for (int i = 0; i < 4; ++i) words[i] += constants[i];
  for (int i = 0; i < 8; ++i) words[4 + i] += stream.key[i];
  words[12] += counter;
  for (int i = 0; i < 3; ++i) words[13 + i] += stream.nonce[i];
}

}  // namespace sotto::kernels
