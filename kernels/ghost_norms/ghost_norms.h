#pragma once
#include "base/view.h"
#include "kernels/bfloat16.h"
#include "kernels/segments.h"

namespace sotto::kernels {

// The gradient of a linear layer for a sample i of `length` rows a_t, g_t (a [B·length, d], g [B·length, p]) is
// Σ_t g_t a_tᵀ, and Σ_t g_t for its bias. Both operations add its squared Frobenius norm, raised so that it also covers
// what accumulate_clipped_outer makes of the sample in floats:
//   squared[i] += (‖Σ_t g_t a_tᵀ‖ + kSampleRounding · Σ_t ‖g_t‖‖a_t‖)², where a_t has a further 1 if with_bias.
// Never below the true value. NaN or infinity in a sample makes squared[i] non-finite and leaves the others alone.

// By Gram matrices, ‖Σ_t g_t a_tᵀ‖² = Σ_{s,t} ⟨g_s, g_t⟩⟨a_s, a_t⟩: length² (p + d) multiplications, halved by
// symmetry. A bound on the error of the dot products is added (γ · |⟨·,·⟩| · ‖·‖‖·‖ a pair). A sample where that
// exceeds a thousandth of the result, for which the sum cancels, or whose squares leave float's range, takes the direct
// way.
void accumulate_ghost_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                            bool with_bias, VectorView<double> squared);

// By the gradient itself: 2 · length · p · d multiplications. On the CPU block by block in floats, with a bound on
// their error (γ · Σ_t ‖g_t‖‖a_t‖) that is added; a sample where that exceeds 2.4e-4 of the norm, or whose products
// leave float's range, is summed in double. On CUDA in double.
void accumulate_direct_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                             bool with_bias, VectorView<double> squared);

// Both of samples that have rows by a table: what is added is the same, bit by bit, as alone with that length.
void accumulate_ragged_ghost_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g,
                                   const Segments& segments, bool with_bias, VectorView<double> squared);
void accumulate_ragged_direct_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g,
                                    const Segments& segments, bool with_bias, VectorView<double> squared);

// One of the two ways, on floats.
using SequenceNorms = void (*)(const Exec&, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                               bool with_bias, VectorView<double> squared);

// --- with tensor cores ----------------------------------------------------------------------------------------------

// Given a workspace of that many doubles on the device, CUDA's tensor cores take most of the work: fused, so that
// neither a Gram matrix nor a gradient is ever in memory. Tiles of Bfloat16 products in floats, their error bounded
// (tensor_error of kernels/rounding.h) and added: by γ · |⟨·,·⟩| · ‖·‖‖·‖ a pair, or γ · Σ_t ‖g_t‖‖a_t‖. A sample where
// that exceeds two thousandths of the Gram sum goes by its gradient; where it exceeds a thousandth of that norm, too,
// or the values leave float's range, it is summed in double. Floats are split into three parts of Bfloat16 each, six of
// whose nine products are added: six times the work, for a bound of 24 bits. Without a workspace all is in double;
// on the CPU it is not used, and 0 doubles suffice. What a sample adds is a function of its own rows alone, bit by bit.
int64_t sequence_norms_workspace(const Exec& exec, MatrixView<const Bfloat16> a, MatrixView<const Bfloat16> g,
                                 const Segments& segments);
int64_t sequence_norms_workspace(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g,
                                 const Segments& segments);
void accumulate_ragged_ghost_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g,
                                   const Segments& segments, bool with_bias, VectorView<double> workspace,
                                   VectorView<double> squared);
void accumulate_ragged_direct_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g,
                                    const Segments& segments, bool with_bias, VectorView<double> workspace,
                                    VectorView<double> squared);

// Both ways of Bfloat16, with kTensorSampleRounding in the place of kSampleRounding: for clipped sums of Bfloat16, too.
// On the CPU in floats, which hold each operand and each product exactly.
void accumulate_ragged_ghost_norms(const Exec& exec, MatrixView<const Bfloat16> a, MatrixView<const Bfloat16> g,
                                   const Segments& segments, bool with_bias, VectorView<double> workspace,
                                   VectorView<double> squared);
void accumulate_ragged_direct_norms(const Exec& exec, MatrixView<const Bfloat16> a, MatrixView<const Bfloat16> g,
                                    const Segments& segments, bool with_bias, VectorView<double> workspace,
                                    VectorView<double> squared);

}  // namespace sotto::kernels
