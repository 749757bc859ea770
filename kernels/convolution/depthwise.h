#pragma once
#include "kernels/convolution/panels.h"
#include "kernels/lanes.h"

namespace sotto::kernels {

// A depthwise convolution without strides along its rows, which fill vectors: lanes are positions of a row, and nothing
// is transposed. x is copied with its padding; g too where a row ends within a vector, since what follows must be
// zeros. `fits` names the kernels and rows for which this was measured to be faster than lanes that are groups.
struct Depthwise {
  bool fits;
  int64_t width;      // floats a row of g
  int64_t x_width;    // and of the copied x
  int64_t x_rows[2];  // in depth and in height

  int64_t packed_x() const { return x_rows[0] * x_rows[1] * x_width; }
};

inline Depthwise plan_depthwise(const ConvolutionShape& s, const Panels& p, int64_t vector_width) {
  const auto whole = [&](int64_t n) { return (n + vector_width - 1) / vector_width * vector_width; };
  const int64_t width = whole(s.output[2]);
  const bool long_enough = s.output[2] >= (s.kernel[2] == 3 ? 1 : 2) * vector_width && 4 * s.output[2] >= 3 * width;
  const bool fits = p.by_group && s.in_channels == s.groups && s.stride[2] == 1 && s.dilation[2] == 1 &&
                    (s.kernel[2] == 3 || s.kernel[2] == 5) && long_enough && s.positions() > 0;
  return {fits, width, whole(width + s.kernel[2] - 1), {p.reach[0], p.reach[1]}};
}

SOTTO_INLINE void copy_floats(const float* from, int64_t count, float* to) {
  int64_t j = 0;
  for (; j + 8 <= count; j += 8)
    *reinterpret_cast<Float8Unaligned*>(to + j) = *reinterpret_cast<const Float8Unaligned*>(from + j);
  for (; j < count; ++j) to[j] = from[j];
}

// A channel of x, without the margin, which stays zero.
SOTTO_INLINE void copy_x(const ConvolutionShape& s, const Panels& p, const Depthwise& plan, const float* x,
                         float* packed) {
  const int64_t columns = std::min(p.reach[2], s.input[2] + s.padding[2]) - s.padding[2];
  for (int64_t d = s.padding[0]; d < std::min(p.reach[0], s.input[0] + s.padding[0]); ++d)
    for (int64_t h = s.padding[1]; h < std::min(p.reach[1], s.input[1] + s.padding[1]); ++h)
      copy_floats(x + ((d - s.padding[0]) * s.input[1] + h - s.padding[1]) * s.input[2], columns,
                  packed + (d * p.reach[1] + h) * plan.x_width + s.padding[2]);
}

SOTTO_INLINE float sum_of_lanes(const Float8& x) {
  const Float4 four = __builtin_shufflevector(x, x, 0, 1, 2, 3) + __builtin_shufflevector(x, x, 4, 5, 6, 7);
  const Float4 two = four + __builtin_shufflevector(four, four, 2, 3, 2, 3);
  return two[0] + two[1];
}

SOTTO_INLINE float sum_of_lanes(const Float16& x) {
  const Float8 halves = __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7) +
                        __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
  return sum_of_lanes(halves);
}

// Vectors [begin, end) of each of the rows [first, last) of the output: one chain.
struct Part {
  int64_t first, last, begin, end;
};

// out[k] (+)= Σ_y g[y] · x[y + k] over a part, for H rows of W taps of the kernel; x is at the first one's place.
template <class V, int H, int W>
SOTTO_INLINE void sum_part(const ConvolutionShape& s, const Depthwise& plan, const float* x, const float* g,
                           const Part& part, bool add, float* out) {
  using Unaligned = typename LanesOf<V>::Unaligned;
  constexpr int64_t kLanes = sizeof(V) / sizeof(float);
  const int64_t down = s.dilation[1] * plan.x_width, step = s.stride[1] * plan.x_width;
  V sums[H * W];
#pragma GCC unroll 32
  for (int k = 0; k < H * W; ++k) sums[k] = V{};
  int64_t h = part.first % s.output[1];
  const float* row = x + (part.first / s.output[1] * s.stride[0] * plan.x_rows[1]) * plan.x_width + h * step;
  for (int64_t at = part.first; at < part.last; ++at) {
    const float *from = row, *factors = g + at * plan.width;
    for (int64_t w = part.begin; w < part.end; w += kLanes) {
      const V factor = *reinterpret_cast<const Unaligned*>(factors + w);
#pragma GCC unroll 8
      for (int r = 0; r < H; ++r)
#pragma GCC unroll 8
        for (int k = 0; k < W; ++k)
          sums[r * W + k] += *reinterpret_cast<const Unaligned*>(from + w + r * down + k) * factor;
    }
    row += step;
    if (++h == s.output[1]) h = 0, row += (s.stride[0] * plan.x_rows[1]) * plan.x_width - s.output[1] * step;
  }
#pragma GCC unroll 32
  for (int k = 0; k < H * W; ++k) out[k] = (add ? out[k] : 0) + sum_of_lanes(sums[k]);
}

template <class V, int H, int W>
SOTTO_INLINE void sum_taps(const ConvolutionShape& s, const Depthwise& plan, const float* x, const float* g,
                           float* out) {
  constexpr int64_t kChain = kConvolutionChain * sizeof(V) / sizeof(float);
  const int64_t rows = s.output[0] * s.output[1], together = std::max<int64_t>(1, kChain / plan.width);
  for (int64_t begin = 0; begin < plan.width; begin += kChain)
    for (int64_t first = 0; first < rows; first += together)
      sum_part<V, H, W>(s, plan, x, g,
                        {first, std::min(rows, first + together), begin, std::min(plan.width, begin + kChain)},
                        begin + first > 0, out);
}

// The weight's gradient of one channel of the output.
template <class V, int W>
SOTTO_INLINE void sum_channel(const ConvolutionShape& s, const Depthwise& plan, const float* x, const float* g,
                              float* out) {
  constexpr int kRegisters = sizeof(V) == 64 ? 27 : 12;
  constexpr int kRows = std::max(1, std::min(W, kRegisters / W));
  for (int64_t d = 0; d < s.kernel[0]; ++d)
    for (int64_t h = 0; h < s.kernel[1];) {
      const float* row = x + (d * s.dilation[0] * plan.x_rows[1] + h * s.dilation[1]) * plan.x_width;
      const int64_t step = h + kRows <= s.kernel[1] ? kRows : 1;
      if (step == kRows)
        sum_taps<V, kRows, W>(s, plan, row, g, out);
      else
        sum_taps<V, 1, W>(s, plan, row, g, out);
      h += step, out += step * W;
    }
}

// All channels of a sample, to rows [out_channels, taps].
template <class V>
SOTTO_INLINE void depthwise_gradient(const ConvolutionShape& s, const Panels& p, const Depthwise& plan, const float* x,
                                     const float* g, float* rows, float* packed_x, float* packed_g) {
  const int64_t out = s.out_channels / s.groups, positions = s.positions();
  for (int64_t group = 0; group < s.groups; ++group) {
    copy_x(s, p, plan, x + group * s.places(), packed_x);
    for (int64_t o = group * out; o < (group + 1) * out; ++o) {
      const float* gradient = g + o * positions;
      if (plan.width != s.output[2]) {
        for (int64_t row = 0; row < s.output[0] * s.output[1]; ++row)
          copy_floats(gradient + row * s.output[2], s.output[2], packed_g + row * plan.width);
        gradient = packed_g;
      }
      float* const to = rows + o * s.taps();
      if (s.kernel[2] == 3) sum_channel<V, 3>(s, plan, packed_x, gradient, to);
      if (s.kernel[2] == 5) sum_channel<V, 5>(s, plan, packed_x, gradient, to);
    }
  }
}

}  // namespace sotto::kernels
