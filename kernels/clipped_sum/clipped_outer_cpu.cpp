#include <cmath>
#include <vector>

#include "base/parallel.h"
#include "kernels/clipped_sum/clipped_sum_impl.h"
#include "kernels/vectorised.h"

// weight_sum = (f·G)ᵀ A by blocks of kChain rows. A thread owns a part of weight_sum and goes over all rows: it packs a
// block of f·G and of A into its cache, multiplies them tile by tile in registers, and adds each tile to doubles.
namespace sotto::kernels {
namespace {

constexpr int64_t kPackedRows = 16;   // room for a tile's rows in the packed f·G: one vector
constexpr int64_t kPartRows = 112;    // a part of weight_sum: its doubles (112 x 256) fill a quarter of a 1 MB L2
constexpr int64_t kPartCols = 256;
constexpr float kLargeActivation = 0x1p20f;

struct Problem {
  MatrixView<const float> g, a;
  const float* factors;
  int64_t rows_per_sample;
  const float* scales;  // a power of two a row
  MatrixView<float> weight_sum;
  float* bias_sum;
  int64_t tile_rows, tile_cols;
};

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// A huge activation beside a tiny f·g would lose the product: 2^-150 · |a| is no longer small. Such a row is scaled down
// by a power of two, and its f·g up by the same, which is exact.
SOTTO_VECTORISED void find_scales(MatrixView<const float> a, float* scales, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    const float* row = a.data + r * a.cols;
    Float16 high = {}, low = {};
    int64_t j = 0;
    for (; j + 16 <= a.cols; j += 16) {
      const Float16 x = *reinterpret_cast<const Float16Unaligned*>(row + j);
      high = x > high ? x : high;
      low = x < low ? x : low;
    }
    float largest = 0;
    for (int k = 0; k < 16; ++k) largest = std::max({largest, high[k], -low[k]});
    for (; j < a.cols; ++j) largest = std::max(largest, std::fabs(row[j]));
    scales[r] = largest > kLargeActivation && largest < INFINITY ? std::exp2(float(std::ilogb(largest))) : 1.0f;
  }
}

// tile[m][·] += Σ_k x[k][m] · y[k][·] for Rows rows and Vectors · 16 columns: chains of float, then double.
template <int Rows, int Vectors>
SOTTO_INLINE void multiply_tile(int64_t depth, const float* x, const float* y, int64_t y_stride, double* tile,
                                int64_t tile_stride) {
  Float16 sums[Rows][Vectors] = {};
  for (int64_t k = 0; k < depth; ++k) {
    Float16 columns[Vectors];
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v)
      columns[v] = *reinterpret_cast<const Float16Unaligned*>(y + k * y_stride + 16 * v);
#pragma GCC unroll 14
    for (int m = 0; m < Rows; ++m)
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sums[m][v] += x[k * kPackedRows + m] * columns[v];
  }
#pragma GCC unroll 14
  for (int m = 0; m < Rows; ++m)
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) {
      Double8Unaligned* out = reinterpret_cast<Double8Unaligned*>(tile + m * tile_stride + 16 * v);
      const Float16 sum = sums[m][v];
      const Float8 low = __builtin_shufflevector(sum, sum, 0, 1, 2, 3, 4, 5, 6, 7);
      const Float8 high = __builtin_shufflevector(sum, sum, 8, 9, 10, 11, 12, 13, 14, 15);
      out[0] += __builtin_convertvector(low, Double8);
      out[1] += __builtin_convertvector(high, Double8);
    }
}

// A tile of fewer rows is cut into pieces for which there is code.
template <int Vectors>
SOTTO_INLINE void multiply_tiles(int64_t rows, int64_t depth, const float* x, const float* y, int64_t y_stride,
                                 double* tile, int64_t tile_stride) {
  while (rows > 0) {
    int64_t done = 1;
    if (Vectors == 2 && rows >= 14) {
      multiply_tile<14, Vectors>(depth, x, y, y_stride, tile, tile_stride), done = 14;
    } else if (rows >= 6) {
      multiply_tile<6, Vectors>(depth, x, y, y_stride, tile, tile_stride), done = 6;
    } else if (rows >= 4) {
      multiply_tile<4, Vectors>(depth, x, y, y_stride, tile, tile_stride), done = 4;
    } else if (rows >= 2) {
      multiply_tile<2, Vectors>(depth, x, y, y_stride, tile, tile_stride), done = 2;
    } else {
      multiply_tile<1, Vectors>(depth, x, y, y_stride, tile, tile_stride);
    }
    rows -= done, x += done, tile += done * tile_stride;
  }
}

// packed[panel][k][m] = f · g[k][i + m], scaled up where the activation is scaled down; a dropped row is 0.
SOTTO_INLINE void pack_gradients(const Problem& problem, Range rows, Range part, float* packed) {
  const int64_t panels = round_up(part.size(), problem.tile_rows) / problem.tile_rows;
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    const float* row = problem.g.data + r * problem.g.cols;
    const float factor = problem.factors[r / problem.rows_per_sample], scale = problem.scales[r];
    for (int64_t panel = 0; panel < panels; ++panel) {
      const int64_t i = part.begin + panel * problem.tile_rows;
      float* out = packed + (panel * kChain + (r - rows.begin)) * kPackedRows;
      if (factor == 0) {
        *reinterpret_cast<Float16Unaligned*>(out) = Float16{};
      } else if (scale == 1 && i + kPackedRows <= problem.g.cols) {
        *reinterpret_cast<Float16Unaligned*>(out) = factor * *reinterpret_cast<const Float16Unaligned*>(row + i);
      } else {
        for (int64_t m = 0; m < kPackedRows; ++m)
          out[m] = i + m < problem.g.cols ? float(double(factor) * double(scale) * double(row[i + m])) : 0.0f;
      }
    }
  }
}

// Σ f · g over one block first, then into the total: like a tile, a block's sum belongs to one sample or to single rows.
SOTTO_INLINE void add_bias(const Problem& problem, Range rows, Range part, double* block_sum, double* total) {
  std::fill(block_sum, block_sum + part.size(), 0.0);
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    const double factor = problem.factors[r / problem.rows_per_sample];
    if (factor == 0) continue;
    const float* row = problem.g.data + r * problem.g.cols + part.begin;
    for (int64_t i = 0; i < part.size(); ++i) block_sum[i] += factor * double(row[i]);
  }
  for (int64_t i = 0; i < part.size(); ++i) total[i] += block_sum[i];
}

// packed[panel][k][·] = a[k][j …], scaled down where it is large, 0 past the edge and in a dropped row.
SOTTO_INLINE void pack_activations(const Problem& problem, Range rows, Range part, float* packed) {
  for (int64_t j = part.begin; j < part.end; j += problem.tile_cols) {
    const int64_t columns = std::min(problem.tile_cols, part.end - j);
    for (int64_t r = rows.begin; r < rows.end; ++r, packed += problem.tile_cols) {
      const float* row = problem.a.data + r * problem.a.cols + j;
      const bool dropped = problem.factors[r / problem.rows_per_sample] == 0;
      if (!dropped && columns == problem.tile_cols && problem.scales[r] == 1) {
        for (int64_t k = 0; k < problem.tile_cols; k += 16)
          *reinterpret_cast<Float16Unaligned*>(packed + k) = *reinterpret_cast<const Float16Unaligned*>(row + k);
      } else {
        for (int64_t k = 0; k < problem.tile_cols; ++k)
          packed[k] = dropped || k >= columns ? 0.0f : row[k] / problem.scales[r];
      }
    }
  }
}

struct Scratch {
  std::vector<float> gradients = std::vector<float>((kPartRows / 6 + 2) * kChain * kPackedRows);
  std::vector<float> activations = std::vector<float>(kChain * kPartCols);
  std::vector<double> sums = std::vector<double>((kPartRows + kPackedRows) * kPartCols);
  std::vector<double> bias = std::vector<double>(kPartRows);
  std::vector<double> block_bias = std::vector<double>(kPartRows);
};

SOTTO_VECTORISED void add_part(const Problem& problem, Range is, Range js, bool with_bias, Scratch& scratch) {
  const int64_t stride = round_up(js.size(), problem.tile_cols);
  double* sums = scratch.sums.data();
  std::fill(sums, sums + is.size() * stride, 0.0);
  std::fill(scratch.bias.begin(), scratch.bias.end(), 0.0);
  for (int64_t begin = 0, end; begin < problem.g.rows; begin = end) {
    end = chain_end(begin, problem.g.rows, problem.rows_per_sample);
    if (problem.rows_per_sample > 1 && problem.factors[begin / problem.rows_per_sample] == 0) continue;
    const int64_t depth = end - begin;
    pack_gradients(problem, {begin, end}, is, scratch.gradients.data());
    if (with_bias) add_bias(problem, {begin, end}, is, scratch.block_bias.data(), scratch.bias.data());
    pack_activations(problem, {begin, end}, js, scratch.activations.data());
    for (int64_t j = 0; j < js.size(); j += problem.tile_cols)
      for (int64_t i = 0; i < is.size(); i += problem.tile_rows) {
        const int64_t rows = std::min(problem.tile_rows, is.size() - i);
        const float* x = scratch.gradients.data() + i / problem.tile_rows * kChain * kPackedRows;
        const float* y = scratch.activations.data() + j * depth;
        double* tile = sums + i * stride + j;
        if (problem.tile_cols == 32) {
          multiply_tiles<2>(rows, depth, x, y, 32, tile, stride);
        } else {
          multiply_tiles<1>(rows, depth, x, y, 16, tile, stride);
        }
      }
  }
  for (int64_t i = 0; i < is.size(); ++i) {
    float* out = problem.weight_sum.data + (is.begin + i) * problem.weight_sum.cols + js.begin;
    for (int64_t j = 0; j < js.size(); ++j) out[j] = float(out[j] + sums[i * stride + j]);
  }
  if (!with_bias) return;
  for (int64_t i = 0; i < is.size(); ++i)
    problem.bias_sum[is.begin + i] = float(problem.bias_sum[is.begin + i] + scratch.bias[i]);
}

void add_range(const Problem& problem, Range is, Range js) {
  thread_local Scratch scratch;
  const int64_t part_rows = kPartRows / problem.tile_rows * problem.tile_rows;
  for (int64_t i = is.begin; i < is.end; i += part_rows) {
    const Range rows{i, std::min(i + part_rows, is.end)};
    int64_t j = js.begin;
    do {
      add_part(problem, rows, {j, std::min(j + kPartCols, js.end)}, problem.bias_sum != nullptr && j == 0, scratch);
      j += kPartCols;
    } while (j < js.end);
  }
}

}  // namespace

void accumulate_clipped_outer_cpu(const Exec& exec, MatrixView<const float> g, MatrixView<const float> a,
                                  VectorView<const float> factors, int64_t rows_per_sample,
                                  MatrixView<float> weight_sum, VectorView<float> bias_sum) {
  if (g.rows == 0 || g.cols == 0) return;
  thread_local std::vector<float> scales;
  scales.resize(static_cast<size_t>(g.rows));
  float* const scale = scales.data();
  parallel_for(exec.threads(), g.rows, 65536 / std::max<int64_t>(a.cols, 1) + 1,
               [&](int64_t begin, int64_t end) { find_scales(a, scale, begin, end); });

  Problem problem{g, a, factors.data, rows_per_sample, scale, weight_sum, bias_sum.data, 14, 32};
  if (!has_avx512()) problem.tile_rows = 6, problem.tile_cols = 16;  // what fits the 16 registers of AVX2
  const int64_t row_tiles = round_up(g.cols, problem.tile_rows) / problem.tile_rows;
  const int64_t col_tiles = round_up(a.cols, problem.tile_cols) / problem.tile_cols;
  // A second thread pays from about a million multiplications.
  const bool by_rows = row_tiles >= col_tiles;
  const int64_t tiles = by_rows ? row_tiles : col_tiles;
  const int64_t grain = (int64_t{1} << 20) / std::max<int64_t>(1, g.rows * g.cols * a.cols / tiles) + 1;
  parallel_for(exec.threads(), tiles, grain, [&](int64_t begin, int64_t end) {
    if (by_rows) {
      add_range(problem, {begin * problem.tile_rows, std::min(end * problem.tile_rows, g.cols)}, {0, a.cols});
    } else {
      add_range(problem, {0, g.cols}, {begin * problem.tile_cols, std::min(end * problem.tile_cols, a.cols)});
    }
  });
}

}  // namespace sotto::kernels
