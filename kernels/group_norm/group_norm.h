#pragma once
#include "base/view.h"
#include "cuda/exec.h"

namespace sotto::kernels {

// Where the gradients of a normalisation's backward pass go; what is not wanted has data == nullptr.
struct NormGradients {
  MatrixView<float> input;         // shaped like x
  MatrixView<float> scale, shift;  // one row a sample
};

// Group normalisation, y = γ_c x̂ + β_c with x̂ = (x − mean_ik) · rstd_ik over the channels and positions of group k of
// sample i (Wu & He 2018); instance normalisation where each channel is a group. From g = ∂L/∂y, for each sample alone:
//   scale[i][c] = Σ_t g x̂,  shift[i][c] = Σ_t g,  input = rstd (γ_c g − Σ γg / n − x̂ Σ γg x̂ / n)  over a group's n.
// x and g are [samples · channels, positions], mean and rstd [samples · groups], γ [channels] or absent (nullptr, 0).
// The channel sums are in double; a sample with NaN or infinity leaves the others alone.
void group_norm_backward(const Exec& exec, int64_t samples, MatrixView<const float> x, MatrixView<const float> g,
                         VectorView<const float> mean, VectorView<const float> rstd, VectorView<const float> gamma,
                         const NormGradients& out);

}  // namespace sotto::kernels
