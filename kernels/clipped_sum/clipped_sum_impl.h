#pragma once
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/rounding.h"

namespace sotto::kernels {

template <class T>
void require_outer_sizes(const Exec& exec, MatrixView<const T> g, MatrixView<const T> a,
                         VectorView<const float> factors, const Segments& segments, MatrixView<float> weight_sum,
                         VectorView<float> bias_sum) {
  require(a.rows == g.rows, "need a gradient an activation: ", g.rows, " rows for ", a.rows);
  require(factors.size == segments.count, "need a factor a sample: ", factors.size, " factors for ", segments.count);
  require_segments(exec, segments, g.rows);
  require(weight_sum.rows == g.cols && weight_sum.cols == a.cols, "weight_sum is ", weight_sum.rows, "x",
          weight_sum.cols, ", expected ", g.cols, "x", a.cols);
  require(bias_sum.size == g.cols || bias_sum.data == nullptr, "bias_sum has ", bias_sum.size, " entries, expected ",
          g.cols);
}

// A huge activation beside a tiny f·g would lose the product: 2^-150 · |a| is no longer small. Such a row is divided by
// this power of two, and its f·g multiplied by it, which is exact. Of the largest |a| of the row; 1 where it is not
// huge.
constexpr float kLargeActivation = 0x1p20f;
SOTTO_HOST_DEVICE inline float row_scale(float largest) {
  return largest > kLargeActivation && largest < INFINITY ? ldexpf(1.0f, ilogbf(largest)) : 1.0f;
}
SOTTO_HOST_DEVICE inline float scaled_gradient(float factor, float scale, float g) {
  return float(double(factor) * double(scale) * double(g));  // rounds once
}

// Whether every sample has one row, so that chains may cross samples.
SOTTO_HOST_DEVICE inline bool one_row_each(const Segments& segments) {
  return !segments.starts && segments.length == 1;
}

// Rows [begin, end) whose products share one float chain: kChain rows, or fewer where the sample ends.
SOTTO_HOST_DEVICE inline int64_t chain_end(int64_t begin, int64_t rows, const Segments& segments) {
  int64_t end = begin + kChain < rows ? begin + kChain : rows;
  if (!one_row_each(segments)) {
    const int64_t sample = segments.sample_of(begin), sample_end = segments.first(sample) + segments.rows(sample);
    if (sample_end < end) end = sample_end;
  }
  return end;
}

void accumulate_clipped_outer_cpu(const Exec& exec, MatrixView<const float> g, MatrixView<const float> a,
                                  VectorView<const float> factors, const Segments& segments,
                                  MatrixView<float> weight_sum, VectorView<float> bias_sum);
void accumulate_clipped_outer_cpu(const Exec& exec, MatrixView<const Bfloat16> g, MatrixView<const Bfloat16> a,
                                  VectorView<const float> factors, const Segments& segments,
                                  MatrixView<float> weight_sum, VectorView<float> bias_sum);
void accumulate_clipped_outer_cuda(const Exec& exec, MatrixView<const float> g, MatrixView<const float> a,
                                   VectorView<const float> factors, const Segments& segments,
                                   MatrixView<float> weight_sum, VectorView<float> bias_sum);
void accumulate_clipped_outer_cuda(const Exec& exec, MatrixView<const Bfloat16> g, MatrixView<const Bfloat16> a,
                                   VectorView<const float> factors, const Segments& segments,
                                   MatrixView<float> weight_sum, VectorView<float> bias_sum);
void accumulate_clipped_rows_cpu(const Exec& exec, MatrixView<const float> x, VectorView<const float> factors,
                                 VectorView<float> sum);
void accumulate_clipped_rows_cpu(const Exec& exec, MatrixView<const float> x, VectorView<const float> factors,
                                 VectorView<double> sum);
void accumulate_clipped_rows_cpu(const Exec& exec, MatrixView<const Bfloat16> x, VectorView<const float> factors,
                                 VectorView<float> sum);
void accumulate_clipped_rows_cuda(const Exec& exec, MatrixView<const float> x, VectorView<const float> factors,
                                  VectorView<float> sum);
void accumulate_clipped_rows_cuda(const Exec& exec, MatrixView<const float> x, VectorView<const float> factors,
                                  VectorView<double> sum);
void accumulate_clipped_rows_cuda(const Exec& exec, MatrixView<const Bfloat16> x, VectorView<const float> factors,
                                  VectorView<float> sum);
void accumulate_clipped_embedding_cpu(const Exec& exec, const int64_t* ids, MatrixView<const float> g,
                                      VectorView<const float> factors, const Segments& segments, int64_t padding_index,
                                      MatrixView<float> sum);
void accumulate_clipped_embedding_cuda(const Exec& exec, const int64_t* ids, MatrixView<const float> g,
                                       VectorView<const float> factors, const Segments& segments, int64_t padding_index,
                                       MatrixView<float> sum);

}  // namespace sotto::kernels
