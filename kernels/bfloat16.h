#pragma once
#include <cstdint>
#include <cstring>

#include "kernels/rounding.h"

namespace sotto::kernels {

// The upper half of a float: its range, with 8 bits of precision instead of 24.
struct Bfloat16 {
  uint16_t bits;
};

// Rounding x moves it by at most kBfloat16Unit · |x|, and by 2^-134 where x is below 2^-126.
constexpr double kBfloat16Unit = 0x1p-8;

SOTTO_HOST_DEVICE inline float to_float(float x) {
  return x;
}
SOTTO_HOST_DEVICE inline float to_float(Bfloat16 x) {
  const uint32_t bits = uint32_t(x.bits) << 16;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// To the nearest, ties to even, as LibTorch does. NaN stays NaN; from 2^128 (1 − 2^-9) on, x becomes infinite.
SOTTO_HOST_DEVICE inline Bfloat16 to_bfloat16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  const uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 0x40;
  return {uint16_t(x != x ? quiet : nearest)};
}

}  // namespace sotto::kernels
