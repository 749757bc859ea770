#pragma once
#include "kernels/group_norm/group_norm.h"

namespace sotto::kernels {

// Which rows of a matrix are a sample's: row t of sample i is row i · sample_stride + t · row_stride.
struct SampleRows {
  int64_t samples, length;
  int64_t sample_stride, row_stride;  // (length, 1): a sample's rows together; (1, samples): position first
};

// Layer normalisation, y = γ_j x̂ + β_j with x̂ = (x − mean_r) · rstd_r over each row (Ba et al. 2016); RMS normalisation
// (Zhang & Sennrich 2019) where `mean` is absent. From g = ∂L/∂y, for each sample alone:
//   scale[i][j] = Σ_t g x̂,  shift[i][j] = Σ_t g,  input = rstd (γ_j g − Σ_j γg / d − x̂ Σ_j γg x̂ / d),
// without the middle term for RMS. x and g are [samples · length, d], mean and rstd one a row, γ [d] or absent.
// Column sums are in double every kChain rows; a sample with NaN or infinity leaves the others alone.
void layer_norm_backward(const Exec& exec, const SampleRows& rows, MatrixView<const float> x, MatrixView<const float> g,
                         VectorView<const float> mean, VectorView<const float> rstd, VectorView<const float> gamma,
                         const NormGradients& out);

}  // namespace sotto::kernels
