#pragma once
#include "kernels/convolution/convolution.h"

namespace sotto::kernels {

// The norms of the per-sample gradients W_i of convolution_gradients, without making them: with u_t the patch of x_i
// that position t of the output meets,
//   ‖W_i‖² = Σ_{s,t} ⟨g_s, g_t⟩⟨u_s, u_t⟩,   ⟨u_s, u_t⟩ = Σ_k ⟨x_{s + k}, x_{t + k}⟩ over the taps k,
// where stride is 1: the Gram matrix of the patches is a box filter along the diagonals of that of the places. So T
// positions, P places, C and O channels and K taps cost P² C / 2 + T² (O + K) / 2 multiplications and additions instead
// of T² (K C + O) / 2, or of the T K C O of the gradient itself. Any padding, dilation and groups.
//   squared[i] += (‖W_i‖ + convolution_rounding(T) · Σ_t ‖g_t‖‖u_t‖)²   (the sum also over groups)
// which is not below the square of what convolution_gradients makes of the sample in floats. A bound on the error of
// the dot products is added; a sample where that exceeds a thousandth of the result, for which the sum cancels, or
// whose squares leave float's range, is summed in double without Gram matrices. NaN or infinity in a sample makes
// squared[i] non-finite and leaves the others alone. The CPU keeps P² + T² floats a thread; on CUDA P is at most 4096.
void accumulate_convolution_norms(const Exec& exec, const ConvolutionShape& shape, const float* x, const float* g,
                                  VectorView<double> squared);

// How far rounding can move what convolution_gradients makes of a sample, over Σ_t ‖g_t‖‖u_t‖: products in chains of at
// most 2 · 128 positions, the sum of a vector's lanes, and the sum of the chains.
double convolution_rounding(int64_t positions);

}  // namespace sotto::kernels
