#include <algorithm>
#include <vector>

#include "kernels/ghost_norms/ghost_norms_impl.h"
#include "kernels/vectorised.h"

namespace sotto::kernels {
namespace {

constexpr int64_t kTileRows = 8;    // of the gradient, and so columns of g
constexpr int64_t kTileCols = 16;   // two registers of doubles: 8x2 sums, 2 columns and a broadcast fit 32 registers
constexpr int64_t kPartRows = 256;  // of the gradient at a time, so that the packed g stays in cache

// packed[panel][t][k] = x[t][panel · width + k] in double, zeros past the edge.
SOTTO_INLINE void pack(MatrixView<const float> x, int64_t first, int64_t length, int64_t begin, int64_t end,
                       int64_t width, double* packed) {
  for (int64_t column = begin; column < end; column += width)
    for (int64_t t = 0; t < length; ++t)
      for (int64_t k = 0; k < width; ++k)
        *packed++ = column + k < end ? double(x.data[(first + t) * x.cols + column + k]) : 0.0;
}

SOTTO_INLINE double tile_square(int64_t length, const double* g, const double* a) {
  Double8 sums[kTileRows][2] = {};
  for (int64_t t = 0; t < length; ++t) {
    const Double8 low = *reinterpret_cast<const Double8Unaligned*>(a + t * kTileCols);
    const Double8 high = *reinterpret_cast<const Double8Unaligned*>(a + t * kTileCols + 8);
#pragma GCC unroll 8
    for (int64_t m = 0; m < kTileRows; ++m) {
      sums[m][0] += g[t * kTileRows + m] * low;
      sums[m][1] += g[t * kTileRows + m] * high;
    }
  }
  Double8 squares = {};
#pragma GCC unroll 8
  for (int64_t m = 0; m < kTileRows; ++m) squares += sums[m][0] * sums[m][0] + sums[m][1] * sums[m][1];
  double total = 0;
  for (int k = 0; k < 8; ++k) total += squares[k];
  return total;
}

SOTTO_VECTORISED double gradient_square(const GhostInput& input, int64_t first, std::vector<double>& packed_g,
                                        std::vector<double>& packed_a) {
  const int64_t length = input.length;
  packed_g.resize(static_cast<size_t>(kPartRows * length));
  packed_a.resize(static_cast<size_t>(kTileCols * length));
  double total = 0;
  for (int64_t part = 0; part < input.g.cols; part += kPartRows) {
    const int64_t part_end = std::min(part + kPartRows, input.g.cols);
    pack(input.g, first, length, part, part_end, kTileRows, packed_g.data());
    const int64_t panels = (part_end - part + kTileRows - 1) / kTileRows;
    for (int64_t j = 0; j < input.a.cols; j += kTileCols) {
      pack(input.a, first, length, j, std::min(j + kTileCols, input.a.cols), kTileCols, packed_a.data());
      for (int64_t k = 0; k < panels; ++k)
        total += tile_square(length, packed_g.data() + k * length * kTileRows, packed_a.data());
    }
    for (int64_t k = 0; input.with_bias && k < panels; ++k) {
      Double8 sum = {};
      for (int64_t t = 0; t < length; ++t)
        sum += *reinterpret_cast<const Double8Unaligned*>(packed_g.data() + (k * length + t) * kTileRows);
      for (int m = 0; m < 8; ++m) total += sum[m] * sum[m];
    }
  }
  return total;
}

}  // namespace

double direct_square_cpu(const GhostInput& input, int64_t sample) {
  thread_local std::vector<double> packed_g, packed_a;
  return gradient_square(input, sample * input.length, packed_g, packed_a);
}

}  // namespace sotto::kernels
