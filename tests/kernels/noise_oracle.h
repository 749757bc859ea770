#pragma once
#include <cmath>
#include <vector>

#include "base/random_key.h"

namespace sotto::kernels {

// The oracle: Box and Muller in long double on libsodium's words, sharing no code with the kernels.
inline std::vector<long double> expected_normals(const StreamKey& stream, int64_t count) {
  const int64_t pairs = (count + 1) / 2;
  std::vector<uint64_t> words(static_cast<size_t>(2 * pairs));
  fill_words(stream, words.data(), 2 * pairs);
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

inline StreamKey noise_stream(uint64_t seed, uint64_t step = 0, uint32_t tensor = 0) {
  return RunKey::from_seed(seed).stream(Purpose::noise, step, tensor);
}

}  // namespace sotto::kernels
