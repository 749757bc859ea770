#include <cstring>
#include <memory>
#include <new>

#include "base/parallel.h"
#include "kernels/convolution/depthwise.h"
#include "kernels/convolution/panels.h"
#include "kernels/convolution/transpose.h"
#include "kernels/double_sum.h"

// Implicit matrix product, a sample at a time: the packed x and g stay in the cache, sums of R taps x N vectors of
// lanes stay in registers over a block of positions.
namespace sotto::kernels {
namespace {

struct Tile {
  const Panels* panels;
  const Panels::Segment *begin, *end;
  const float *x, *g;  // g: [positions][N vectors]
  float* sums;         // [taps][N vectors]
  bool add;
};

// sums[r][·] (+)= Σ_y x[tap r of y] · g[y][·], with x a float or, where lanes are groups, a vector.
template <class V, int N, int R, bool kByGroup>
SOTTO_INLINE void accumulate(const Tile& tile) {
  using Unaligned = typename LanesOf<V>::Unaligned;
  constexpr int64_t width = kWidth<V>;
  const int64_t step = tile.panels->step, tap_stride = kByGroup ? tile.panels->tap_stride : 1;
  V sums[R][N] = {};
  for (const Panels::Segment* segment = tile.begin; segment != tile.end; ++segment) {
    const float *x = tile.x + segment->x, *g = tile.g + segment->position * N * width;
    for (int64_t t = 0; t < segment->count; ++t, x += step, g += N * width) {
      V lanes[N];
#pragma GCC unroll 2
      for (int v = 0; v < N; ++v) lanes[v] = *reinterpret_cast<const Unaligned*>(g + v * width);
#pragma GCC unroll 24
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
        for (int v = 0; v < N; ++v) {
          if constexpr (kByGroup)
            sums[r][v] += *reinterpret_cast<const Unaligned*>(x + r * tap_stride + v * width) * lanes[v];
          else
            sums[r][v] += x[r] * lanes[v];
        }
    }
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < N; ++v) {
      auto* out = reinterpret_cast<Unaligned*>(tile.sums + (r * N + v) * width);
      *out = tile.add ? *out + sums[r][v] : sums[r][v];
    }
}

// The largest tile of at most `left` taps; returns its taps.
template <class V, int N, bool kByGroup, int... kTaps>
SOTTO_INLINE int64_t accumulate_most(const Tile& tile, int64_t left) {
  int64_t done = 0;
  (void)((left >= kTaps && (accumulate<V, N, kTaps, kByGroup>(tile), done = kTaps, true)) || ...);
  return done;
}

// Registers decide how many taps a tile has; the sizes are those that kernels of 1, 3, 5 and 7 and channels by the
// power of two fill.
template <class V, int N, bool kByGroup>
SOTTO_INLINE int64_t accumulate_some(const Tile& tile, int64_t left) {
  constexpr bool wide = kWidth<V> == 16;
  if constexpr (kByGroup && wide) return accumulate_most<V, N, true, 7, 5, 3, 2, 1>(tile, left);
  if constexpr (kByGroup) return accumulate_most<V, N, true, 3, 2, 1>(tile, left);
  if constexpr (N == 2 && wide) return accumulate_most<V, 2, false, 12, 9, 8, 6, 4, 3, 2, 1>(tile, left);
  if constexpr (wide) return accumulate_most<V, 1, false, 24, 16, 12, 9, 8, 6, 4, 3, 2, 1>(tile, left);
  if constexpr (N == 2) return accumulate_most<V, 2, false, 6, 4, 3, 2, 1>(tile, left);
  return accumulate_most<V, 1, false, 12, 9, 8, 6, 4, 3, 2, 1>(tile, left);
}

// All rows of N vectors of lanes: into sums [rows][N vectors].
template <class V, int N, bool kByGroup>
SOTTO_INLINE void multiply(const Panels& panels, const float* x, const float* g, float* sums) {
  for (size_t b = 0; b + 1 < panels.blocks.size(); ++b) {
    float* out = sums;
    for (const int64_t run : panels.runs)
      for (int64_t j = 0; j < panels.run;) {
        const Tile tile{&panels,
                        panels.segments.data() + panels.blocks[b],
                        panels.segments.data() + panels.blocks[b + 1],
                        x + run + j * panels.tap_stride,
                        g,
                        out,
                        b > 0};
        const int64_t done = accumulate_some<V, N, kByGroup>(tile, panels.run - j);
        j += done, out += done * N * kWidth<V>;
      }
  }
}

struct Scratch {
  explicit Scratch(int64_t floats)
      : data(static_cast<float*>(::operator new (static_cast<size_t>(floats) * sizeof(float), std::align_val_t{64}))) {
    std::memset(data, 0, static_cast<size_t>(floats) * sizeof(float));
  }
  Scratch(const Scratch&) = delete;
  ~Scratch() { ::operator delete (data, std::align_val_t{64}); }
  float* data;
};

// Channels `first`, first + apart, … (`count` of them) of a sample's x, without the margin, which stays zero.
SOTTO_INLINE void pack_x(const ConvolutionShape& s, const Panels& p, const float* x, int64_t first, int64_t apart,
                         int64_t count, float* packed) {
  const int64_t places = s.places();
  const int64_t w_begin = s.padding[2], w_end = std::min(p.reach[2], s.input[2] + s.padding[2]);
  if (w_end <= w_begin) return;
  for (int64_t d = s.padding[0]; d < std::min(p.reach[0], s.input[0] + s.padding[0]); ++d)
    for (int64_t h = s.padding[1]; h < std::min(p.reach[1], s.input[1] + s.padding[1]); ++h) {
      const float* from = x + first * places + ((d - s.padding[0]) * s.input[1] + h - s.padding[1]) * s.input[2];
      float* to = packed + ((d * p.reach[1] + h) * p.reach[2] + w_begin) * p.channels;
      transpose(from, apart * places, count, w_end - w_begin, to, p.channels);
    }
}

// g of `lanes` channels, [lanes][positions] with the rows `apart`, to [vector pair][position][lane]; a last odd vector
// stands alone.
template <class V>
SOTTO_INLINE void pack_g(const Panels& p, int64_t positions, const float* g, int64_t apart, float* packed) {
  for (int64_t lane = 0; lane < p.padded;) {
    const int64_t width = std::min(p.padded - lane, 2 * kWidth<V>);
    transpose(g + lane * apart, apart, std::min(width, p.lanes - lane), positions, packed + lane * positions, width);
    lane += width;
  }
}

// out[lane · apart + k] = sums[order[k]][lane]
SOTTO_INLINE void unpack(const Panels& p, const float* sums, int64_t width, int64_t lanes, float* out, int64_t apart) {
  int64_t lane = 0;
  for (; lane + 8 <= lanes; lane += 8) {
    int64_t k = 0;
    for (; k + 8 <= p.rows; k += 8) {
      Float8 block[8];
      for (int r = 0; r < 8; ++r) block[r] = load8(sums + p.order[k + r] * width + lane);
      transpose8(block);
      for (int r = 0; r < 8; ++r) *reinterpret_cast<Float8Unaligned*>(out + (lane + r) * apart + k) = block[r];
    }
    for (; k < p.rows; ++k)
      for (int r = 0; r < 8; ++r) out[(lane + r) * apart + k] = sums[p.order[k] * width + lane + r];
  }
  for (; lane < lanes; ++lane)
    for (int64_t k = 0; k < p.rows; ++k) out[lane * apart + k] = sums[p.order[k] * width + lane];
}

// All lanes of packed x and g, to out[lane · apart + k].
template <class V, bool kByGroup>
SOTTO_INLINE void multiply_lanes(const Panels& p, int64_t positions, const float* x, const float* g, float* sums,
                                 float* out, int64_t apart) {
  constexpr int64_t width = kWidth<V>;
  for (int64_t lane = 0; lane < p.padded;) {
    const bool pair = p.padded - lane > width;
    const float *x_lanes = x + (kByGroup ? lane : 0), *g_lanes = g + lane * positions;
    if (pair)
      multiply<V, 2, kByGroup>(p, x_lanes, g_lanes, sums);
    else
      multiply<V, 1, kByGroup>(p, x_lanes, g_lanes, sums);
    const int64_t step = pair ? 2 * width : width;
    unpack(p, sums, step, std::min(step, p.lanes - lane), out + lane * apart, apart);
    lane += step;
  }
}

template <class V>
SOTTO_INLINE void sample_gradient(const ConvolutionShape& s, const Panels& p, const float* x, const float* g,
                                  float* rows, Scratch& packed_x, Scratch& packed_g, Scratch& sums) {
  const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups, positions = s.positions();
  const int64_t elements = in * s.taps();  // an output channel
  if (!p.by_group) {
    for (int64_t group = 0; group < s.groups; ++group) {
      pack_x(s, p, x, group * in, 1, in, packed_x.data);
      pack_g<V>(p, positions, g + group * out * positions, positions, packed_g.data);
      multiply_lanes<V, false>(p, positions, packed_x.data, packed_g.data, sums.data, rows + group * out * elements,
                               elements);
    }
    return;
  }
  for (int64_t o = 0; o < out; ++o) {
    pack_g<V>(p, positions, g + o * positions, out * positions, packed_g.data);
    for (int64_t c = 0; c < in; ++c) {
      pack_x(s, p, x, c, in, s.groups, packed_x.data);
      multiply_lanes<V, true>(p, positions, packed_x.data, packed_g.data, sums.data, rows + o * elements + c * s.taps(),
                              out * elements);
    }
  }
}

struct TakeGradients {
  template <class V>
  static SOTTO_INLINE void run(const ConvolutionGradients& work, const Panels& panels, int64_t begin, int64_t end) {
    const ConvolutionShape& s = work.shape;
    const int64_t positions = s.positions();
    const Depthwise depthwise = plan_depthwise(s, panels, kWidth<V>);
    Scratch x(depthwise.fits ? depthwise.packed_x() : panels.packed_x());
    Scratch g(depthwise.fits ? s.output[0] * s.output[1] * depthwise.width : panels.padded * positions);
    Scratch sums(panels.rows * 2 * kWidth<V>), unrounded(work.rounded_rows ? s.elements() : 0);
    for (int64_t i = begin; i < end; ++i) {
      const float *sample_x = work.x + i * s.in_channels * s.places(),
                  *sample_g = work.g + i * s.out_channels * positions;
      float* const rows = work.rounded_rows ? unrounded.data : work.weight_rows + i * s.elements();
      if (depthwise.fits)
        depthwise_gradient<V>(s, panels, depthwise, sample_x, sample_g, rows, x.data, g.data);
      else
        sample_gradient<V>(s, panels, sample_x, sample_g, rows, x, g, sums);
      Bfloat16* const rounded = work.rounded_rows + i * s.elements();
      for (int64_t k = 0; work.rounded_rows && k < s.elements(); ++k) rounded[k] = to_bfloat16(rows[k]);
      if (work.bias_rows)
        for (int64_t o = 0; o < s.out_channels; ++o)
          work.bias_rows[i * s.out_channels + o] = float(double_sum<V>(sample_g + o * positions, positions));
    }
  }
};

}  // namespace

void convolution_gradients_cpu(const Exec& exec, const ConvolutionGradients& work, InstructionSet set) {
  const ConvolutionShape& s = work.shape;
  const Panels panels = plan_panels(s, set == InstructionSet::avx512 ? kWidth<Float16> : kWidth<Float8>);
  const int64_t grain = (int64_t{1} << 17) / std::max<int64_t>(1, s.elements() * s.positions()) + 1;
  parallel_for(exec.threads(), s.samples, grain,
               [&](int64_t begin, int64_t end) { run_on<TakeGradients>(set, work, panels, begin, end); });
}

}  // namespace sotto::kernels
