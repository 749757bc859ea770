#pragma once
#include "base/view.h"
#include "cuda/blas/blas.h"
#include "kernels/bfloat16.h"

namespace sotto::kernels {

// accumulate_clipped_outer on CUDA through cuBLASLt, for samples of `rows_per_sample` rows each:
//   weight_sum += Σ_i f[i] Σ_t g[i, t] a[i, t]ᵀ and bias_sum += Σ_i f[i] Σ_t g[i, t].
// clipped_outer_slack holds, with norms of the same type; sums of floats over all rows would round in proportion to
// their number. f = 0 drops a sample, whatever it holds.
//
// Several rows a sample: products are batched by sample, their sums are floats over at most kTensorChain rows of
// Bfloat16, by tensor cores, or kChain rows of floats, for whose rounding the norms have a spare; these are multiplied
// by f and added in double, and rounded into the accumulators once. An entry of a chain that leaves float's range
// before it is clipped counts as 0. What a sample adds before the sum is a function of its own rows and factor, bit by
// bit. One row a sample: one pass writes f·g and a as floats (a row of huge a scaled), whose products are summed over
// kChain rows in floats, and those sums in double.
//
// The workspace holds as many products at a time as its bytes have room for, at least one; more are faster, up to all
// of them. It lies at a multiple of 16 bytes, as g and a do where p and d are such. T: float or Bfloat16.
struct ClippedProductsSize {
  int64_t samples, rows_per_sample, d, p;
};
// Bytes for all products, or for as many as have room in `limit` bytes, but at least for one.
int64_t clipped_products_workspace(const Blas& blas, const ClippedProductsSize& size, int64_t limit);

template <class T>
void accumulate_clipped_products(const Exec& exec, Blas& blas, MatrixView<const T> g, MatrixView<const T> a,
                                 VectorView<const float> factors, int64_t rows_per_sample, VectorView<char> workspace,
                                 MatrixView<float> weight_sum, VectorView<float> bias_sum);

}  // namespace sotto::kernels
