#pragma once
#include <cstring>
#include <vector>

#include "kernels/bfloat16.h"

namespace sotto::kernels {

// The upper half of a float, by its bits.
inline float value_of(Bfloat16 x) {
  const uint32_t bits = uint32_t(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline std::vector<Bfloat16> rounded(const std::vector<float>& x) {
  std::vector<Bfloat16> made;
  for (const float value : x) made.push_back(to_bfloat16(value));
  return made;
}

inline std::vector<float> values_of(const std::vector<Bfloat16>& x) {
  std::vector<float> made;
  for (const Bfloat16 value : x) made.push_back(value_of(value));
  return made;
}

}  // namespace sotto::kernels
