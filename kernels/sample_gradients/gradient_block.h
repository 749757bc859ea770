#pragma once
#include <vector>

#include "base/view.h"
#include "kernels/lanes.h"

// A block of rows of one sample's gradient at a time: its part of g is packed tile by tile, a by panels of columns, and
// each tile of sums stays in registers over all positions of a chain.
namespace sotto::kernels {

constexpr int64_t kBlockRows = 96;                             // whole tiles of 6 and of 3
constexpr int64_t kPackedTile = 8;                             // room for a tile's rows: copied as one vector of 8
constexpr int64_t kPositions = 128;                            // of a chain: a panel of 64 columns is 32 KB
constexpr int64_t kTilePanel = kPositions * kPackedTile + 16;  // more, lest all tiles map to the same cache set
constexpr int64_t kPanelFloats = 64;                           // columns of the widest panel

struct GradientFactors {
  MatrixView<const float> a, g;
};

struct GradientScratch {
  std::vector<float> gradients = std::vector<float>(kBlockRows / 3 * kTilePanel);
  std::vector<float> activations = std::vector<float>(kPositions * kPanelFloats);
  std::vector<float> block;  // for sums that are not kept as they are
};

// packed[tile][t][row of the tile] of the g of `depth` positions from `first` on.
template <class V>
SOTTO_INLINE void pack_gradients(const GradientFactors& factors, int64_t first, int64_t depth, int64_t begin,
                                 int64_t end, float* packed) {
  for (int64_t t = 0; t < depth; ++t) {
    const float* const row = factors.g.data + (first + t) * factors.g.cols;
    float* out = packed + t * kPackedTile;
    for (int64_t p = begin; p < end; p += kTileRows<V>, out += kTilePanel) {
      Float8 values;
      load(values, row + p, factors.g.cols - p);
      *reinterpret_cast<Float8Unaligned*>(out) = values;
    }
  }
}

// packed[t][column] of `Vectors` vectors of columns, with zeros past the last.
template <int Vectors, class V>
SOTTO_INLINE void pack_activations(const GradientFactors& factors, int64_t first, int64_t depth, int64_t column,
                                   float* packed) {
  for (int64_t t = 0; t < depth; ++t)
    for (int64_t v = 0; v < Vectors; ++v) {
      V values;
      const int64_t from = column + v * kWidth<V>;
      load(values, factors.a.data + (first + t) * factors.a.cols + std::min(from, factors.a.cols),
           factors.a.cols - from);
      store(values, packed + (t * Vectors + v) * kWidth<V>, kWidth<V>);
    }
}

template <int Vectors, class V>
SOTTO_INLINE void multiply(int64_t depth, const float* g, const float* a, V* products) {
  V sums[kTileRows<V>][Vectors] = {};
  for (int64_t t = 0; t < depth; ++t, g += kPackedTile, a += Vectors * kWidth<V>) {
    V columns[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v)
      columns[v] = *reinterpret_cast<const typename LanesOf<V>::Unaligned*>(a + v * kWidth<V>);
#pragma GCC unroll 6
    for (int m = 0; m < kTileRows<V>; ++m)
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sums[m][v] += g[m] * columns[v];
  }
  for (int m = 0; m < kTileRows<V>; ++m)
    for (int v = 0; v < Vectors; ++v) products[m * Vectors + v] = sums[m][v];
}

// The columns of one panel for rows [begin, end), which `to` holds; `adds` where an earlier chain has written them.
template <int Vectors, class V>
SOTTO_INLINE void run_panel(const GradientFactors& factors, int64_t first, int64_t depth, int64_t begin, int64_t end,
                            int64_t column, float* to, bool adds, GradientScratch& scratch) {
  pack_activations<Vectors, V>(factors, first, depth, column, scratch.activations.data());
  const float* g = scratch.gradients.data();
  const bool whole = !adds && column + Vectors * kWidth<V> <= factors.a.cols;
  for (int64_t p = begin; p < end; p += kTileRows<V>, g += kTilePanel) {
    V products[kTileRows<V> * Vectors];
    multiply<Vectors>(depth, g, scratch.activations.data(), products);
    const int64_t present = std::min(kTileRows<V>, end - p);
    float* out = to + (p - begin) * factors.a.cols + column;
    if (whole) {
      for (int64_t m = 0; m < present; ++m, out += factors.a.cols)
        for (int v = 0; v < Vectors; ++v) store(products[m * Vectors + v], out + v * kWidth<V>, kWidth<V>);
      continue;
    }
    for (int64_t m = 0; m < present; ++m, out += factors.a.cols)
      for (int64_t v = 0; v < Vectors && v * kWidth<V> < factors.a.cols - column; ++v) {
        const int64_t count = factors.a.cols - column - v * kWidth<V>;
        V sum = products[m * Vectors + v];
        if (adds) {
          V before;
          load(before, out + v * kWidth<V>, count);
          sum = sum + before;
        }
        store(sum, out + v * kWidth<V>, count);
      }
  }
}

// Rows [begin, end) of Σ_t g_t a_tᵀ over the `length` rows from `first`: of each entry, products in chains of
// kPositions whose sums are added up.
template <class V>
SOTTO_INLINE void run_block(const GradientFactors& factors, int64_t first, int64_t length, int64_t begin, int64_t end,
                            float* to, GradientScratch& scratch) {
  for (int64_t t = 0; t < length; t += kPositions) {
    const int64_t depth = std::min(kPositions, length - t);
    pack_gradients<V>(factors, first + t, depth, begin, end, scratch.gradients.data());
    int64_t column = 0;
    for (; factors.a.cols - column > 2 * kWidth<V>; column += 4 * kWidth<V>)
      run_panel<4, V>(factors, first + t, depth, begin, end, column, to, t > 0, scratch);
    if (column < factors.a.cols) run_panel<2, V>(factors, first + t, depth, begin, end, column, to, t > 0, scratch);
  }
}

}  // namespace sotto::kernels
