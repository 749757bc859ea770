#include <algorithm>
#include <vector>

#include "kernels/ghost_norms/ghost_norms_impl.h"
#include "kernels/lanes.h"

namespace sotto::kernels {
namespace {

// A tile of the gradient has as many rows as leave registers for a broadcast and two vectors of columns.
template <class V>
constexpr int64_t kSumRows = kWidth<V> == 16 ? 8 : 6;
template <class V>
constexpr int64_t kSumCols = 2 * kDoubles<V>;
constexpr int64_t kPartRows = 264;  // of the gradient at a time, so that the packed g stays in cache: whole tiles

// packed[panel][t][k] = x[t][panel · width + k] in double, zeros past the edge.
SOTTO_INLINE void pack(MatrixView<const float> x, int64_t first, int64_t length, int64_t begin, int64_t end,
                       int64_t width, double* packed) {
  for (int64_t column = begin; column < end; column += width)
    for (int64_t t = 0; t < length; ++t)
      for (int64_t k = 0; k < width; ++k)
        *packed++ = column + k < end ? double(x.data[(first + t) * x.cols + column + k]) : 0.0;
}

template <class V>
SOTTO_INLINE double tile_square(int64_t length, const double* g, const double* a) {
  constexpr int64_t rows = kSumRows<V>;
  Doubles<V> sums[rows][2] = {};
  for (int64_t t = 0; t < length; ++t) {
    const Doubles<V> low = doubles_at<V>(a + t * kSumCols<V>), high = doubles_at<V>(a + t * kSumCols<V> + kDoubles<V>);
#pragma GCC unroll 8
    for (int64_t m = 0; m < rows; ++m) {
      sums[m][0] += g[t * rows + m] * low;
      sums[m][1] += g[t * rows + m] * high;
    }
  }
  Doubles<V> squares = {};
#pragma GCC unroll 8
  for (int64_t m = 0; m < rows; ++m) squares += sums[m][0] * sums[m][0] + sums[m][1] * sums[m][1];
  double total = 0;
  for (int k = 0; k < kDoubles<V>; ++k) total += squares[k];
  return total;
}

struct GradientSquare {
  template <class V>
  static SOTTO_INLINE double run(const GhostInput& input, int64_t sample) {
    thread_local std::vector<double> packed_g, packed_a;
    constexpr int64_t rows = kSumRows<V>, cols = kSumCols<V>;
    const int64_t first = input.segments.first(sample), length = input.segments.rows(sample);
    packed_g.resize(static_cast<size_t>(kPartRows * length));
    packed_a.resize(static_cast<size_t>(cols * length));
    double total = 0;
    for (int64_t part = 0; part < input.g.cols; part += kPartRows) {
      const int64_t part_end = std::min(part + kPartRows, input.g.cols);
      pack(input.g, first, length, part, part_end, rows, packed_g.data());
      const int64_t panels = (part_end - part + rows - 1) / rows;
      for (int64_t j = 0; j < input.a.cols; j += cols) {
        pack(input.a, first, length, j, std::min(j + cols, input.a.cols), cols, packed_a.data());
        for (int64_t k = 0; k < panels; ++k)
          total += tile_square<V>(length, packed_g.data() + k * length * rows, packed_a.data());
      }
      for (int64_t k = 0; input.with_bias && k < panels; ++k) {
        double sums[rows] = {};
        for (int64_t t = 0; t < length; ++t)
          for (int64_t m = 0; m < rows; ++m) sums[m] += packed_g[(k * length + t) * rows + m];
        for (const double sum : sums) total += sum * sum;
      }
    }
    return total;
  }
};

}  // namespace

double direct_square_cpu(const GhostInput& input, int64_t sample) {
  return run_widest<GradientSquare>(input, sample);
}

}  // namespace sotto::kernels
