#pragma once
#include "kernels/lanes.h"

namespace sotto::kernels {

// σ and tanh with a relative error below kActivationError, for every float; NaN stays NaN. e^y = 2ⁿ e^r with
// n = round(y / ln 2), |r| ≤ ln 2 / 2, and e^r − 1 by its Taylor series up to r⁷, whose rest is below 2⁻²⁵ |r|.
template <class V>
struct VectorMath {
  // power = 2ⁿ and rest = e^r − 1, for |y| ≤ 87.
  static SOTTO_INLINE void split(const V& y, V& power, V& rest) {
    using Bits = typename LanesOf<V>::Bits;
    const V shifted = y * 0x1.715476p0f + 0x1.8p23f;  // rounds y / ln 2 to an integer, which is in the low bits
    const V n = shifted - 0x1.8p23f;
    const V r = (y - n * 0.693359375f) - n * -2.12194440e-4f;  // ln 2 in two parts: n times the first is exact
    const Bits exponent = (reinterpret_cast<Bits>(shifted) << 23) + 0x3f800000u;
    power = reinterpret_cast<V>(exponent);
    V series = r * (1.0f / 5040) + 1.0f / 720;
    series = series * r + 1.0f / 120;
    series = series * r + 1.0f / 24;
    series = series * r + 1.0f / 6;
    series = series * r + 0.5f;
    rest = series * (r * r) + r;
  }

  static SOTTO_INLINE void sigmoid(V& x) {
    const V limit = V{} + 87.0f;
    V y = -x, power, rest;
    y = y > limit ? limit : y;  // in this order a NaN passes
    y = y < -limit ? -limit : y;
    split(y, power, rest);
    x = 1.0f / (1.0f + (power + power * rest));
  }

  // E / (E + 2) with E = e^{2|x|} − 1: nothing cancels for small x.
  static SOTTO_INLINE void tanh(V& x) {
    const V limit = V{} + 20.0f;  // E + 2 = E in float32
    V y = x < 0.0f ? -x : x, power, rest;
    y = y + y;
    y = y > limit ? limit : y;
    split(y, power, rest);
    const V e = power * rest + (power - 1.0f);
    const V size = e / (e + 2.0f);
    x = x < 0.0f ? -size : size;
  }
};

}  // namespace sotto::kernels
