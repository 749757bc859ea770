#pragma once
#include "base/view.h"
#include "cuda/exec.h"
#include "kernels/bfloat16.h"

namespace sotto::kernels {

// squared[i] += Σ_j x[i][j]², never below the true sum. For stored per-sample gradients and biases.
// A row with NaN or infinity makes squared[i] non-finite and leaves the others alone.
void accumulate_row_norms(const Exec& exec, MatrixView<const float> x, VectorView<double> squared);
void accumulate_row_norms(const Exec& exec, MatrixView<const Bfloat16> x, VectorView<double> squared);

}  // namespace sotto::kernels
