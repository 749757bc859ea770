#pragma once
#include "base/view.h"
#include "cuda/exec.h"
#include "kernels/bfloat16.h"

namespace sotto::kernels {

// rows[i] = Σ_t g_t a_tᵀ over the `length` rows of sample i: the per-sample gradients of a matrix, for the price of the
// batch's. a is [samples·length, d], g [samples·length, p], rows [samples, p·d]. Sums of floats in chains of 128 rows,
// whose order depends on the sample's own rows alone. A NaN stays in its sample.
void sample_gradients(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                      MatrixView<float> rows);

// The same rows, each entry rounded.
void sample_gradients(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                      MatrixView<Bfloat16> rows);

}  // namespace sotto::kernels
