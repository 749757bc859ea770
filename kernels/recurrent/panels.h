#pragma once
#include <algorithm>
#include <vector>

#include "kernels/recurrent/activations.h"

// Small matrix products: rows of floats times a matrix that is packed in panels of a few vectors of columns, so that
// all its loads are whole vectors and the sums of a tile stay in registers.
namespace sotto::kernels {

template <int Rows, int Vectors, class V>
SOTTO_INLINE void multiply_rows(int64_t depth, const float* x, int64_t stride, const float* panel, V* products) {
  V sums[Rows][Vectors] = {};
  for (int64_t k = 0; k < depth; ++k, panel += Vectors * kWidth<V>) {
    V columns[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v)
      columns[v] = *reinterpret_cast<const typename LanesOf<V>::Unaligned*>(panel + v * kWidth<V>);
#pragma GCC unroll 6
    for (int m = 0; m < Rows; ++m) {
      const float value = x[m * stride + k];
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sums[m][v] += value * columns[v];
    }
  }
  for (int m = 0; m < Rows; ++m)
    for (int v = 0; v < Vectors; ++v) products[m * Vectors + v] = sums[m][v];
}

// products[m][v] = Σ_k x[m][k] panel[k][v] for `rows` ≤ kTileRows rows, `stride` floats apart. A row's sums are chains
// in order of k, whatever the other rows.
template <int Vectors, class V>
SOTTO_INLINE void multiply_tile(int64_t rows, int64_t depth, const float* x, int64_t stride, const float* panel,
                                V* products) {
  if (rows == kTileRows<V>) return multiply_rows<kTileRows<V>, Vectors>(depth, x, stride, panel, products);
  for (; rows >= 2; rows -= 2, x += 2 * stride, products += 2 * Vectors)
    multiply_rows<2, Vectors>(depth, x, stride, panel, products);
  if (rows == 1) multiply_rows<1, Vectors>(depth, x, stride, panel, products);
}

// x [rows, depth] times a packed matrix of `columns` columns; take(m, first, count, vector) gets `count` entries of row
// m from column `first` on.
template <class V, class Take>
SOTTO_INLINE void multiply_panels(int64_t rows, int64_t depth, const float* x, int64_t stride, const float* panels,
                                  int64_t columns, const Take& take) {
  constexpr int64_t panel_columns = kTileVectors * kWidth<V>;
  for (int64_t first = 0; first < columns; first += panel_columns, panels += depth * panel_columns)
    for (int64_t m = 0; m < rows; m += kTileRows<V>) {
      const int64_t count = std::min(kTileRows<V>, rows - m);
      V products[kTileRows<V> * kTileVectors];
      multiply_tile<kTileVectors>(count, depth, x + m * stride, stride, panels, products);
      for (int64_t r = 0; r < count; ++r)
        for (int64_t v = 0; v < kTileVectors; ++v) {
          const int64_t column = first + v * kWidth<V>;
          if (column < columns)
            take(m + r, column, std::min(kWidth<V>, columns - column), products[r * kTileVectors + v]);
        }
    }
}

// A row stride under which the rows of a tile do not fall into the same cache set.
constexpr int64_t row_stride(int64_t floats) {
  return (floats + 15) / 16 * 16 + 16;
}

// The number of samples that take all their steps together: their rows and the weights fit a second-level cache.
constexpr int64_t kBlockSamples = 48;

// Floats kept from one call to the next: grown, never shrunk.
inline float* scratch_of(std::vector<float>& scratch, int64_t floats) {
  if (static_cast<int64_t>(scratch.size()) < floats) scratch.resize(static_cast<size_t>(floats));
  return scratch.data();
}

}  // namespace sotto::kernels
