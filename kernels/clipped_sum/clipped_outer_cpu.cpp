#include <cmath>
#include <vector>

#include "base/parallel.h"
#include "kernels/clipped_sum/clipped_sum_impl.h"
#include "kernels/lanes.h"

// weight_sum = (f·G)ᵀ A by blocks of kChain rows. A thread owns a part of weight_sum and goes over all rows: it packs a
// block of f·G and of A into its cache, multiplies them tile by tile in registers, and adds each tile to doubles.
namespace sotto::kernels {
namespace {

template <class V>
constexpr int64_t kPackedRows = kWidth<V>;  // room for a tile's rows in the packed f·G: one vector
// With a spare vector, lest all panels map to the same cache set.
template <class V>
constexpr int64_t kPanel = (kChain + 1) * kPackedRows<V>;
constexpr int64_t kPartRows = 280;  // a part of weight_sum: its doubles (280 x 128) fill a quarter of a 1 MB L2
constexpr int64_t kPartCols = 128;

template <class T>
struct Problem {
  MatrixView<const T> g, a;
  const float* factors;
  Segments segments;
  const float* scales;  // a power of two a row
  MatrixView<float> weight_sum;
  float* bias_sum;
};

// The sums of a tile fill the registers: 14 x 2 vectors of AVX-512's 32, 6 x 2 of AVX2's 16.
template <class V>
constexpr int64_t kTileHeight = kWidth<V> == 16 ? 14 : 6;
template <class V>
constexpr int64_t kTileColumns = 2 * kWidth<V>;

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

int64_t round_up(int64_t n, int64_t unit) {
  return (n + unit - 1) / unit * unit;
}

template <class T>
SOTTO_INLINE bool any_above(const T* x, int64_t n, float limit) {
  Float8 high[2] = {}, low[2] = {};
  int64_t j = 0;
  for (; j + 16 <= n; j += 16)
    for (int v = 0; v < 2; ++v) {
      Float8 values;
      load_narrow(values, x + j + 8 * v);
      high[v] = values > high[v] ? values : high[v];
      low[v] = values < low[v] ? values : low[v];
    }
  bool any = false;
  for (int v = 0; v < 2; ++v)
    for (int k = 0; k < 8; ++k) any |= high[v][k] > limit || low[v][k] < -limit;
  for (; j < n; ++j) any |= to_float(x[j]) > limit || to_float(x[j]) < -limit;
  return any;
}

template <class T>
float power_of_two_below(const T* x, int64_t n) {
  float largest = 0;
  for (int64_t j = 0; j < n; ++j) largest = std::max(largest, std::fabs(to_float(x[j])));
  return row_scale(largest);
}

// Huge activations are rare: rows are looked at in groups first.
template <class T>
SOTTO_VECTORISED void find_scales(MatrixView<const T> a, float* scales, int64_t begin, int64_t end) {
  constexpr int64_t kGroup = 16;
  for (int64_t r = begin; r < end; r += kGroup) {
    const int64_t group_end = std::min(r + kGroup, end);
    std::fill(scales + r, scales + group_end, 1.0f);
    if (!any_above(a.data + r * a.cols, (group_end - r) * a.cols, kLargeActivation)) continue;
    for (int64_t k = r; k < group_end; ++k) scales[k] = power_of_two_below(a.data + k * a.cols, a.cols);
  }
}

// tile[m][·] += Σ_k x[k][m] · y[k][·] for Rows rows and two vectors of columns: chains of float, then double. V is what
// one register holds: sums in wider vectors would go through memory.
template <int Rows, class V>
SOTTO_INLINE void multiply_tile(int64_t depth, const float* x, const float* y, double* tile, int64_t tile_stride) {
  constexpr int kLanes = static_cast<int>(kWidth<V>);
  V sums[Rows][2] = {};
  for (int64_t k = 0; k < depth; ++k) {
    V columns[2];
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) load(columns[v], y + (2 * k + v) * kLanes, kLanes);
#pragma GCC unroll 14
    for (int m = 0; m < Rows; ++m)
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) sums[m][v] += x[k * kPackedRows<V> + m] * columns[v];
  }
  alignas(64) float chains[Rows][2 * kLanes];
  std::memcpy(chains, sums, sizeof(chains));
  for (int m = 0; m < Rows; ++m)
    for (int c = 0; c < 2 * kLanes; ++c) tile[m * tile_stride + c] += double(chains[m][c]);
}

// A tile of fewer rows is cut into pieces for which there is code.
template <class V>
SOTTO_INLINE void multiply_tiles(int64_t rows, int64_t depth, const float* x, const float* y, double* tile,
                                 int64_t tile_stride) {
  while (rows > 0) {
    int64_t done = 1;
    if (kWidth<V> == 16 && rows >= 14) {
      multiply_tile<14, V>(depth, x, y, tile, tile_stride), done = 14;
    } else if (rows >= 6) {
      multiply_tile<6, V>(depth, x, y, tile, tile_stride), done = 6;
    } else if (rows >= 4) {
      multiply_tile<4, V>(depth, x, y, tile, tile_stride), done = 4;
    } else if (rows >= 2) {
      multiply_tile<2, V>(depth, x, y, tile, tile_stride), done = 2;
    } else {
      multiply_tile<1, V>(depth, x, y, tile, tile_stride);
    }
    rows -= done, x += done, tile += done * tile_stride;
  }
}

// The rows of one chain, with the factor of each.
struct Block {
  int64_t begin, depth;
  const float* scales;
  float factors[kChain], inverses[kChain];  // inverses: of the scales
};

// packed[panel][k][m] = f · g[k][i + m], scaled up where the activation is scaled down; a dropped row is 0.
template <class V, class T>
SOTTO_INLINE void pack_gradients(const Problem<T>& problem, const Block& block, Range part, float* packed) {
  for (int64_t k = 0; k < block.depth; ++k, packed += kPackedRows<V>) {
    const T* row = problem.g.data + (block.begin + k) * problem.g.cols;
    const float factor = block.factors[k], scale = block.scales[k];
    float* out = packed;
    for (int64_t i = part.begin; i < part.end; i += kTileHeight<V>, out += kPanel<V>) {
      if (factor == 0) {
        std::fill(out, out + kPackedRows<V>, 0.0f);
      } else if (scale == 1 && i + kPackedRows<V> <= problem.g.cols) {
        for (int m = 0; m < kPackedRows<V>; m += 8) {
          Float8 values;
          load_narrow(values, row + i + m);
          *reinterpret_cast<Float8Unaligned*>(out + m) = factor * values;
        }
      } else {
        const int64_t present = std::min(kPackedRows<V>, problem.g.cols - i);
        for (int64_t m = 0; m < present; ++m) out[m] = scaled_gradient(factor, scale, to_float(row[i + m]));
      }
    }
  }
}

// packed[panel][k][·] = a[k][j …], scaled down where it is large, 0 past the edge and in a dropped row.
template <class V, class T>
SOTTO_INLINE void pack_activations(const Problem<T>& problem, const Block& block, Range part, float* packed) {
  for (int64_t j = part.begin; j < part.end; j += kTileColumns<V>) {
    const int64_t columns = std::min(kTileColumns<V>, part.end - j);
    for (int64_t k = 0; k < block.depth; ++k, packed += kTileColumns<V>) {
      const T* row = problem.a.data + (block.begin + k) * problem.a.cols + j;
      int64_t c = 0;
      if (block.factors[k] != 0) {
        const float up = block.inverses[k];
        for (; c + 8 <= columns; c += 8) {
          Float8 values;
          load_narrow(values, row + c);
          *reinterpret_cast<Float8Unaligned*>(packed + c) = up * values;
        }
        for (; c < columns; ++c) packed[c] = up * to_float(row[c]);
      }
      for (; c < kTileColumns<V>; ++c) packed[c] = 0;
    }
  }
}

// total += Σ f · g over one block, by the same chains as a tile: a scaled row is scaled back, which is exact. Several
// panels at a time, since each is one chain.
template <int Panels, class V>
SOTTO_INLINE void add_bias_panels(const Block& block, int64_t present, const float* packed, double* total) {
  static_assert(kTileHeight<V> <= kWidth<V>);
  V sums[Panels] = {};
  for (int64_t k = 0; k < block.depth; ++k)
#pragma GCC unroll 4
    for (int panel = 0; panel < Panels; ++panel) {
      V rows;
      load(rows, packed + panel * kPanel<V> + k * kPackedRows<V>, kWidth<V>);
      sums[panel] += rows * block.inverses[k];
    }
  float chains[Panels][kWidth<V>];
  std::memcpy(chains, sums, sizeof(chains));
  for (int64_t i = 0; i < present; ++i) total[i] += double(chains[i / kTileHeight<V>][i % kTileHeight<V>]);
}

template <class V>
SOTTO_INLINE void add_bias(const Block& block, int64_t rows, const float* packed, double* total) {
  constexpr int kTogether = 4;
  int64_t i = 0;
  for (; i + kTogether * kTileHeight<V> <= rows; i += kTogether * kTileHeight<V>, packed += kTogether * kPanel<V>)
    add_bias_panels<kTogether, V>(block, kTogether * kTileHeight<V>, packed, total + i);
  for (; i < rows; i += kTileHeight<V>, packed += kPanel<V>)
    add_bias_panels<1, V>(block, std::min(kTileHeight<V>, rows - i), packed, total + i);
}

struct Scratch {
  std::vector<float> gradients = std::vector<float>((kPartRows / 6 + 2) * kPanel<Float8>);
  std::vector<float> activations = std::vector<float>(kChain * kPartCols);
  std::vector<double> sums = std::vector<double>((kPartRows + kPackedRows<Float16>)*kPartCols);
  std::vector<double> bias = std::vector<double>(kPartRows);
};

template <class V, class T>
SOTTO_INLINE void add_part(const Problem<T>& problem, Range is, Range js, bool with_bias, Scratch& scratch) {
  constexpr int64_t height = kTileHeight<V>, width = kTileColumns<V>;
  const int64_t stride = round_up(js.size(), width);
  double* sums = scratch.sums.data();
  std::fill(sums, sums + is.size() * stride, 0.0);
  std::fill(scratch.bias.begin(), scratch.bias.end(), 0.0);
  for (int64_t begin = 0, end; begin < problem.g.rows; begin = end) {
    end = chain_end(begin, problem.g.rows, problem.segments);
    const bool one_row = one_row_each(problem.segments);
    const int64_t sample = problem.segments.sample_of(begin);
    Block block{begin, end - begin, problem.scales + begin, {}, {}};
    for (int64_t k = 0; k < block.depth; ++k) {
      block.factors[k] = problem.factors[one_row ? begin + k : sample];
      block.inverses[k] = 1 / block.scales[k];
    }
    if (!one_row && block.factors[0] == 0) continue;
    pack_gradients<V>(problem, block, is, scratch.gradients.data());
    if (with_bias) add_bias<V>(block, is.size(), scratch.gradients.data(), scratch.bias.data());
    pack_activations<V>(problem, block, js, scratch.activations.data());
    // A panel of a, the larger, stays in the first-level cache.
    for (int64_t j = 0; j < js.size(); j += width)
      for (int64_t i = 0; i < is.size(); i += height)
        multiply_tiles<V>(std::min(height, is.size() - i), block.depth,
                          scratch.gradients.data() + i / height * kPanel<V>,
                          scratch.activations.data() + j * block.depth, sums + i * stride + j, stride);
  }
  for (int64_t i = 0; i < is.size(); ++i) {
    float* out = problem.weight_sum.data + (is.begin + i) * problem.weight_sum.cols + js.begin;
    for (int64_t j = 0; j < js.size(); ++j) out[j] = float(out[j] + sums[i * stride + j]);
  }
  if (!with_bias) return;
  for (int64_t i = 0; i < is.size(); ++i)
    problem.bias_sum[is.begin + i] = float(problem.bias_sum[is.begin + i] + scratch.bias[i]);
}

struct AddRange {
  template <class V, class T>
  static SOTTO_INLINE void run(const Problem<T>& problem, Range is, Range js) {
    thread_local Scratch scratch;
    constexpr int64_t part_rows = kPartRows / kTileHeight<V> * kTileHeight<V>;
    for (int64_t i = is.begin; i < is.end; i += part_rows) {
      const Range rows{i, std::min(i + part_rows, is.end)};
      int64_t j = js.begin;
      do {
        add_part<V>(problem, rows, {j, std::min(j + kPartCols, js.end)}, problem.bias_sum != nullptr && j == 0,
                    scratch);
        j += kPartCols;
      } while (j < js.end);
    }
  }
};

template <class T>
void accumulate(const Exec& exec, MatrixView<const T> g, MatrixView<const T> a, VectorView<const float> factors,
                const Segments& segments, MatrixView<float> weight_sum, VectorView<float> bias_sum) {
  if (g.rows == 0 || g.cols == 0) return;
  thread_local std::vector<float> scales;
  scales.resize(static_cast<size_t>(g.rows));
  float* const scale = scales.data();
  parallel_for(exec.threads(), g.rows, 65536 / std::max<int64_t>(a.cols, 1) + 1,
               [&](int64_t begin, int64_t end) { find_scales(a, scale, begin, end); });

  const Problem<T> problem{g, a, factors.data, segments, scale, weight_sum, bias_sum.data};
  const bool wide = best_instruction_set() == InstructionSet::avx512;
  const int64_t height = wide ? kTileHeight<Float16> : kTileHeight<Float8>;
  const int64_t width = wide ? kTileColumns<Float16> : kTileColumns<Float8>;
  const int64_t row_tiles = round_up(g.cols, height) / height, col_tiles = round_up(a.cols, width) / width;
  // A second thread pays from about a million multiplications.
  const bool by_rows = row_tiles >= col_tiles;
  const int64_t tiles = by_rows ? row_tiles : col_tiles;
  const int64_t grain = (int64_t{1} << 20) / std::max<int64_t>(1, g.rows * g.cols * a.cols / tiles) + 1;
  parallel_for(exec.threads(), tiles, grain, [&](int64_t begin, int64_t end) {
    if (by_rows) {
      run_widest<AddRange>(problem, Range{begin * height, std::min(end * height, g.cols)}, Range{0, a.cols});
    } else {
      run_widest<AddRange>(problem, Range{0, g.cols}, Range{begin * width, std::min(end * width, a.cols)});
    }
  });
}

}  // namespace

void accumulate_clipped_outer_cpu(const Exec& exec, MatrixView<const float> g, MatrixView<const float> a,
                                  VectorView<const float> factors, const Segments& segments,
                                  MatrixView<float> weight_sum, VectorView<float> bias_sum) {
  accumulate(exec, g, a, factors, segments, weight_sum, bias_sum);
}

void accumulate_clipped_outer_cpu(const Exec& exec, MatrixView<const Bfloat16> g, MatrixView<const Bfloat16> a,
                                  VectorView<const float> factors, const Segments& segments,
                                  MatrixView<float> weight_sum, VectorView<float> bias_sum) {
  accumulate(exec, g, a, factors, segments, weight_sum, bias_sum);
}

}  // namespace sotto::kernels
