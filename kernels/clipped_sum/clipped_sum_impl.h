#pragma once
#include <algorithm>

#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/rounding.h"

namespace sotto::kernels {

// Rows [begin, end) whose products share one float chain: kChain rows, or fewer where the sample ends and has several.
SOTTO_HOST_DEVICE inline int64_t chain_end(int64_t begin, int64_t rows, int64_t rows_per_sample) {
  int64_t end = begin + kChain < rows ? begin + kChain : rows;
  if (rows_per_sample > 1) {
    const int64_t sample_end = (begin / rows_per_sample + 1) * rows_per_sample;
    if (sample_end < end) end = sample_end;
  }
  return end;
}

void accumulate_clipped_outer_cpu(const Exec& exec, MatrixView<const float> g, MatrixView<const float> a,
                                  VectorView<const float> factors, int64_t rows_per_sample,
                                  MatrixView<float> weight_sum, VectorView<float> bias_sum);
void accumulate_clipped_outer_cuda(const Exec& exec, MatrixView<const float> g, MatrixView<const float> a,
                                   VectorView<const float> factors, int64_t rows_per_sample,
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
void accumulate_clipped_embedding_cpu(const Exec& exec, MatrixView<const int64_t> ids, MatrixView<const float> g,
                                      VectorView<const float> factors, int64_t padding_index, MatrixView<float> sum);
void accumulate_clipped_embedding_cuda(const Exec& exec, MatrixView<const int64_t> ids, MatrixView<const float> g,
                                       VectorView<const float> factors, int64_t padding_index, MatrixView<float> sum);

}  // namespace sotto::kernels
