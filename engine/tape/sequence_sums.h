#pragma once
#include "engine/tape/grad_samples.h"
#include "kernels/segments.h"

namespace sotto {

// weight_sum += Σ_i factors[i] · Σ_t g_t a_tᵀ over the rows of sample i, and bias_sum += Σ_i factors[i] · Σ_t g_t, or
// {nullptr, 0}; both factors are floats, or both bfloat16. On CUDA by cuBLASLt where samples have several rows each,
// all as many: some samples' gradients at a time, in at most 256 MiB or one sample's.
void add_clipped_sequences(const Exec& exec, const at::Tensor& gradient, const at::Tensor& activation,
                           VectorView<const float> factors, const kernels::Segments& segments,
                           MatrixView<float> weight_sum, VectorView<float> bias_sum);

}  // namespace sotto
