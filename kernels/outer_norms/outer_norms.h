#pragma once
#include "base/view.h"
#include "cuda/exec.h"

namespace sotto::kernels {

// The gradient of a linear layer for a sample of one row is the outer product g[i] a[i]ᵀ, and g[i] for its bias:
//   squared[i] += ‖g[i]‖² · (‖a[i]‖² + (with_bias ? 1 : 0)), never below the true value.
// NaN or infinity in a[i] or g[i] makes squared[i] non-finite (also 0 · ∞) and leaves the others alone.
void accumulate_outer_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, bool with_bias,
                            VectorView<double> squared);

}  // namespace sotto::kernels
