#pragma once
#include "kernels/convolution/convolution_impl.h"
#include "kernels/lanes.h"

namespace sotto::kernels {

// Σ_w g[w] · x[w] over `count` floats, in double.
template <class V>
SOTTO_INLINE void add_products(const float* g, const float* x, int64_t count, Doubles<V>& sum) {
  for (int64_t w = 0; w < count; w += kDoubles<V>) {
    Doubles<V> a, b;
    load_wide<V>(a, g + w, count - w);
    load_wide<V>(b, x + w, count - w);
    sum += a * b;
  }
}

// ‖W‖² of one group of a sample, x [in, places] and g [out, positions], stride 1: entry by entry in double, by the rows
// of the output. Of an entry's sum, at most positions + 8 roundings.
template <class V>
SOTTO_INLINE double direct_square(const ConvolutionShape& s, const float* x, const float* g) {
  const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups, wide = s.output[2];
  double squares = 0;
  for (int64_t o = 0; o < out; ++o)
    for (int64_t c = 0; c < in; ++c)
      for (int64_t k = 0; k < s.taps(); ++k) {
        const Place tap = place_of(k, s.kernel);
        const int64_t shift = tap.w * s.dilation[2] - s.padding[2];
        const int64_t begin = std::max<int64_t>(0, -shift), end = std::min(wide, s.input[2] - shift);
        Doubles<V> sum = {};
        for (int64_t line = 0; begin < end && line < s.output[0] * s.output[1]; ++line) {
          const Place y{line / s.output[1], line % s.output[1], begin};
          const int64_t met = place_met(s, tap, y);
          if (met < 0) continue;
          add_products<V>(g + o * s.positions() + line * wide + begin, x + c * s.places() + met, end - begin, sum);
        }
        double entry = 0;
        for (int lane = 0; lane < kDoubles<V>; ++lane) entry += sum[lane];
        squares += entry * entry;
      }
  return raised(squares, in * out * s.taps());
}

}  // namespace sotto::kernels
