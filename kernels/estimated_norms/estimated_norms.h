#pragma once
#include "base/view.h"
#include "cuda/exec.h"

namespace sotto::kernels {

// Estimates of squared norms, not bounds: clipping by them bounds no sample's influence (arXiv 2605.24879 accounts for
// such clipping as a mixture; until that is here, no clipping takes them).
//
// For sample i of `length` rows a_t, g_t (a [B·length, d], g [B·length, p]) and probes v_1 … v_K [K, d], drawn from
// N(0, I) independently of the data:
//   estimates[i] += (1/K) Σ_k ‖Σ_t g_t ⟨a_t, v_k⟩‖²
// Its mean is ‖Σ_t g_t a_tᵀ‖², its relative standard deviation at most √(2/K) (Hutchinson 1990; Avron and Toledo 2011).
// 2 K length (d + p) multiplications and additions, where a Gram matrix takes length² (d + p). NaN or infinity in a
// sample makes its estimate non-finite and leaves the others alone.
void estimate_product_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                            MatrixView<const float> probes, VectorView<double> estimates);

}  // namespace sotto::kernels
