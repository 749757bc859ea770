#pragma once
#include <vector>

#include "kernels/lanes.h"
#include "kernels/rounding.h"

namespace sotto::kernels {

// Rows of a Gram matrix at a time: with two vectors of columns their sums leave registers for the operands.
template <class V>
constexpr int64_t kGramRows = kWidth<V> == 16 ? 8 : 4;
template <class V>
constexpr int64_t kPanelColumns = 2 * kWidth<V>;

// Of an entry's: products and their sums, in chains of kChain channels.
inline double gram_roundings(int64_t channels) {
  return double(std::min(channels, kChain) + channels / kChain + 2);
}

// panels[j][channel][column of the panel] of x [channels, columns], with zeros past the last.
template <class V>
SOTTO_INLINE void pack_panels(const float* x, int64_t channels, int64_t columns, std::vector<float>& panels) {
  const int64_t count = (columns + kPanelColumns<V> - 1) / kPanelColumns<V>;
  panels.resize(static_cast<size_t>(count * channels * kPanelColumns<V>));
  float* out = panels.data();
  for (int64_t j = 0; j < columns; j += kPanelColumns<V>)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t v = 0; v < 2; ++v, out += kWidth<V>) {
        V values;
        const int64_t from = j + v * kWidth<V>;
        load(values, x + c * columns + std::min(from, columns), columns - from);
        store(values, out, kWidth<V>);
      }
}

// out[m][·] = Σ_c rows[c][m] · columns[c][·]
template <class V>
SOTTO_INLINE void gram_tile(int64_t channels, const float* rows, const float* columns, float* out, int64_t stride) {
  constexpr int64_t height = kGramRows<V>, panel = kPanelColumns<V>;
  int64_t begin = 0;
  do {
    V sums[height][2] = {};
    const int64_t end = std::min(channels, begin + kChain);
    for (int64_t c = begin; c < end; ++c) {
      V right[2];
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) load(right[v], columns + c * panel + v * kWidth<V>, kWidth<V>);
#pragma GCC unroll 8
      for (int64_t m = 0; m < height; ++m)
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) sums[m][v] += rows[c * panel + m] * right[v];
    }
    for (int64_t m = 0; m < height; ++m)
      for (int v = 0; v < 2; ++v) {
        float* const to = out + m * stride + v * kWidth<V>;
        V before = {};
        if (begin > 0) load(before, to, kWidth<V>);
        store<V>(before + sums[m][v], to, kWidth<V>);
      }
    begin = end;
  } while (begin < channels);
}

// ⟨x_r, x_c⟩ for kGramRows rows from `first`, a multiple of it, and the columns up to the last of them, at least, into
// rows of the returned stride.
template <class V>
SOTTO_INLINE int64_t gram_rows(int64_t channels, int64_t columns, const float* panels, int64_t first,
                               std::vector<float>& rows) {
  constexpr int64_t panel = kPanelColumns<V>;
  const int64_t stride = (columns + panel - 1) / panel * panel;
  rows.resize(static_cast<size_t>(kGramRows<V> * stride));
  const float* const own = panels + first / panel * channels * panel + first % panel;
  for (int64_t j = 0; j < first + kGramRows<V>; j += panel)
    gram_tile<V>(channels, own, panels + j * channels, rows.data() + j, stride);
  return stride;
}

// squares[column] = Σ_c x[c][column]² in double.
template <class V>
SOTTO_INLINE void column_squares(const float* x, int64_t channels, int64_t columns, std::vector<double>& squares) {
  squares.assign(static_cast<size_t>(columns), 0.0);
  for (int64_t j = 0; j < columns; j += kDoubles<V>) {
    const int64_t present = std::min(kDoubles<V>, columns - j);
    Doubles<V> sum = {}, values;
    for (int64_t c = 0; c < channels; ++c) {
      load_wide<V>(values, x + c * columns + j, present);
      sum += values * values;
    }
    for (int64_t k = 0; k < present; ++k) squares[static_cast<size_t>(j + k)] = sum[k];
  }
}

}  // namespace sotto::kernels
