#pragma once
#include <type_traits>

#include "base/view.h"
#include "kernels/bfloat16.h"
#include "kernels/rounding.h"

// What a block of 256 CUDA threads does, thread by thread, with nothing of CUDA in it: the host can run it, too.
namespace sotto::kernels {

// A tile of kSide x kSide entries of one sample's gradient. The block passes over the sample's rows by kDepth, fetched
// once for all threads; a thread sums kPart x kPart entries, sixteen apart, so that neighbours read neighbours.
template <int kEntries>
struct GradientTile {
  static constexpr int kPart = kEntries, kSide = 16 * kPart, kDepth = 16, kThreads = 256;
  static constexpr int kChainParts = 8;  // of kDepth: a chain of floats has 128 rows, as on the CPU

  struct Fetched {
    float g[kDepth][kSide], a[kDepth][kSide];
  };
  struct Sums {
    float chains[kPart][kPart] = {}, totals[kPart][kPart] = {};
  };

  MatrixView<const float> a, g;
  int64_t length, sample, first_row, first_column;

  SOTTO_HOST_DEVICE static constexpr int64_t tiles(int64_t n) { return (n + kSide - 1) / kSide; }
  static int64_t blocks(int64_t samples, int64_t p, int64_t d) { return samples * tiles(p) * tiles(d); }

  SOTTO_HOST_DEVICE static GradientTile of_block(MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                                                 int64_t block) {
    const int64_t across = tiles(a.cols), down = tiles(g.cols);
    return {a, g, length, block / (across * down), block / across % down * kSide, block % across * kSide};
  }

  // Rows [t, t + kDepth) of the sample, zeros past its end and past the matrices' edges.
  SOTTO_HOST_DEVICE void fetch(int thread, int64_t t, Fetched& to) const {
    for (int k = thread; k < kDepth * kSide; k += kThreads) {
      const int depth = k / kSide, at = k % kSide;
      const int64_t row = sample * length + t + depth;
      const bool present = t + depth < length;
      to.g[depth][at] = present && first_row + at < g.cols ? g.data[row * g.cols + first_row + at] : 0.0f;
      to.a[depth][at] = present && first_column + at < a.cols ? a.data[row * a.cols + first_column + at] : 0.0f;
    }
  }

  // Adds the products of the rows that were fetched from `t` on. A chain that is full joins the totals.
  SOTTO_HOST_DEVICE void multiply(int thread, int64_t t, const Fetched& from, Sums& sums) const {
    const int row = thread / 16, column = thread % 16;
    for (int depth = 0; depth < kDepth; ++depth)
      for (int m = 0; m < kPart; ++m)
        for (int n = 0; n < kPart; ++n)
          sums.chains[m][n] += from.g[depth][row + 16 * m] * from.a[depth][column + 16 * n];
    if ((t / kDepth + 1) % kChainParts != 0) return;
    for (int m = 0; m < kPart; ++m)
      for (int n = 0; n < kPart; ++n) sums.totals[m][n] += sums.chains[m][n], sums.chains[m][n] = 0;
  }

  template <class Row>
  SOTTO_HOST_DEVICE void write(int thread, const Sums& sums, MatrixView<Row> rows) const {
    for (int m = 0; m < kPart; ++m)
      for (int n = 0; n < kPart; ++n) {
        const int64_t i = first_row + thread / 16 + 16 * m, j = first_column + thread % 16 + 16 * n;
        if (i >= g.cols || j >= a.cols) continue;
        const float total = sums.totals[m][n] + sums.chains[m][n];
        Row& entry = rows.data[sample * rows.cols + i * a.cols + j];
        if constexpr (std::is_same_v<Row, float>)
          entry = total;
        else
          entry = to_bfloat16(total);
      }
  }
};

}  // namespace sotto::kernels
