#pragma once
#include <array>
#include <cmath>
#include <vector>

#include "base/random_key.h"

namespace sotto::kernels {

inline constexpr Generator kGenerators[] = {Generator::chacha20, Generator::philox};

inline const char* name_of(Generator generator) {
  return generator == Generator::philox ? "Philox" : "ChaCha20";
}

// Philox4x32-10 of one counter as the paper writes it: words L and R of each half, of which a round makes
// (high(M R') ^ key ^ L, low(M R')), R' of the other half.
inline std::array<uint32_t, 4> expected_philox(std::array<uint32_t, 4> c, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = 0xD2511F53ull * c[0], p1 = 0xCD9E8D57ull * c[2];
    c = {static_cast<uint32_t>(p1 / 0x100000000) ^ c[1] ^ key[0], static_cast<uint32_t>(p1 % 0x100000000),
         static_cast<uint32_t>(p0 / 0x100000000) ^ c[3] ^ key[1], static_cast<uint32_t>(p0 % 0x100000000)};
    key = {key[0] + 0x9E3779B9, key[1] + 0xBB67AE85};
  }
  return c;
}

// The stream's first 64-bit words: libsodium's, or Philox's of the counters (0, nonce), (1, nonce), …
inline std::vector<uint64_t> expected_words(const StreamKey& stream, int64_t count) {
  std::vector<uint64_t> words(static_cast<size_t>(count));
  if (stream.generator == Generator::chacha20) {
    fill_words(stream, words.data(), count);
    return words;
  }
  for (uint32_t i = 0; i < words.size(); ++i) {
    const auto four =
        expected_philox({i / 2, stream.nonce[0], stream.nonce[1], stream.nonce[2]}, {stream.key[0], stream.key[1]});
    words[i] = four[i % 2 * 2] | uint64_t{four[i % 2 * 2 + 1]} << 32;
  }
  return words;
}

// The oracle: Box and Muller in long double on the words above, sharing no code with the kernels.
inline std::vector<long double> expected_normals(const StreamKey& stream, int64_t count) {
  const int64_t pairs = (count + 1) / 2;
  const std::vector<uint64_t> words = expected_words(stream, 2 * pairs);
  std::vector<long double> normals;
  for (int64_t p = 0; p < pairs; ++p) {
    const long double u = (static_cast<long double>(words[2 * p]) + 1) / 0x1p64L;
    const long double turn = (static_cast<long double>(words[2 * p + 1] & 0xffffffff) + 0.5L) / 0x1p32L;
    const long double radius = std::sqrt(-2 * std::log(u)), angle = 2 * M_PIl * turn;
    normals.push_back(radius * std::cos(angle));
    normals.push_back(radius * std::sin(angle));
  }
  normals.resize(static_cast<size_t>(count));
  return normals;
}

inline StreamKey noise_stream(uint64_t seed, uint64_t step = 0, uint32_t tensor = 0,
                              Generator generator = Generator::chacha20) {
  return RunKey::from_seed(seed).stream(Purpose::noise, step, tensor, generator);
}

}  // namespace sotto::kernels
