#pragma once
#include "engine/tape/grad_samples.h"
#include "kernels/segments.h"

namespace sotto {

// The norms of a parameter's gradients in one form, with what their kernels need of memory.

// squared[i] += an upper bound of ‖rows[i]‖²; rows [batch, elements] are floats or bfloat16.
void add_row_norms(const Exec& exec, const at::Tensor& rows, VectorView<double> squared);

// Which rows of a use are whose.
kernels::Segments segments_of(const FactoredUse& use, int64_t batch);

// squared[i] += an upper bound of ‖Σ_t g_t a_tᵀ‖² over the rows of sample i, by Gram matrices or, `direct`, by the
// gradient itself; both factors are floats, or both bfloat16. Returns the kernels' scratch, which must live until they
// are done: undefined where they have none.
at::Tensor add_sequence_norms(const Exec& exec, const at::Tensor& activation, const at::Tensor& gradient,
                              const kernels::Segments& segments, bool direct, VectorView<double> squared);

}  // namespace sotto
