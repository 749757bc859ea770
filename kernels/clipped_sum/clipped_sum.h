#pragma once
#include "base/view.h"
#include "kernels/bfloat16.h"
#include "kernels/segments.h"

namespace sotto::kernels {

// The clipped sums, added into float accumulators, so that micro-batches add up. f = factors[i] of sample i comes from
// clip_factors over norms that include these rows. A sample with f = 0 is skipped: its NaN or infinity stays outside.
// Results do not depend on the number of threads.

// weight_sum += Σ_r f[r / rows_per_sample] g[r] a[r]ᵀ and bias_sum += Σ_r f[r / rows_per_sample] g[r].
// g is [R, p], a [R, d], weight_sum [p, d]; bias_sum has p entries, or none ({nullptr, 0}).
void accumulate_clipped_outer(const Exec& exec, MatrixView<const float> g, MatrixView<const float> a,
                              VectorView<const float> factors, int64_t rows_per_sample, MatrixView<float> weight_sum,
                              VectorView<float> bias_sum);

// The same of samples that have rows by a table, several where a unit's count: norms from accumulate_ragged_ghost_norms
// or accumulate_ragged_direct_norms, and of no more than `length` rows in clipped_outer_slack.
void accumulate_ragged_clipped_outer(const Exec& exec, MatrixView<const float> g, MatrixView<const float> a,
                                     VectorView<const float> factors, const Segments& segments,
                                     MatrixView<float> weight_sum, VectorView<float> bias_sum);

// Both of Bfloat16, with norms of Bfloat16 from ghost_norms: kTensorSampleRounding is part of those. On the CPU bit by
// bit what the floats of the same values give.
void accumulate_clipped_outer(const Exec& exec, MatrixView<const Bfloat16> g, MatrixView<const Bfloat16> a,
                              VectorView<const float> factors, int64_t rows_per_sample, MatrixView<float> weight_sum,
                              VectorView<float> bias_sum);
void accumulate_ragged_clipped_outer(const Exec& exec, MatrixView<const Bfloat16> g, MatrixView<const Bfloat16> a,
                                     VectorView<const float> factors, const Segments& segments,
                                     MatrixView<float> weight_sum, VectorView<float> bias_sum);

// sum += Σ_i f[i] x[i], for stored per-sample gradients x [B, P], floats or Bfloat16. Into doubles, samples can come in
// any number of calls, whose total is rounded into the floats once.
void accumulate_clipped_rows(const Exec& exec, MatrixView<const float> x, VectorView<const float> factors,
                             VectorView<float> sum);
void accumulate_clipped_rows(const Exec& exec, MatrixView<const float> x, VectorView<const float> factors,
                             VectorView<double> sum);
void accumulate_clipped_rows(const Exec& exec, MatrixView<const Bfloat16> x, VectorView<const float> factors,
                             VectorView<float> sum);

// sum[ids[i][t]] += f[i] g[i·T + t] wherever ids[i][t] is not padding_index (-1: no padding). ids is [B, T], sum [V,
// d]. On the CPU an id outside [0, V) throws; on CUDA, where that would need a synchronisation, its row is left out.
void accumulate_clipped_embedding(const Exec& exec, MatrixView<const int64_t> ids, MatrixView<const float> g,
                                  VectorView<const float> factors, int64_t padding_index, MatrixView<float> sum);

// The same where sample i has the ids of its segment.
void accumulate_ragged_clipped_embedding(const Exec& exec, VectorView<const int64_t> ids, MatrixView<const float> g,
                                         VectorView<const float> factors, const Segments& segments,
                                         int64_t padding_index, MatrixView<float> sum);

// Bounds on rounding. Write c_i for what sample i adds to *all* tensors, C for clip_norm. Each function returns an r
// with
//   ‖accumulator − Σ c_i‖₂ ≤ r · Σ_i max(‖c_i‖₂, C),  jointly over all tensors,
// after `calls` calls into the same accumulator that started at 0, for at most `samples` samples in all. Sensitivity is
// C + 2·r·samples·C: what one sample moves, and the rounding with it and without it.
// Proof. (1) The bounds are entrywise, |error| ≤ r Σ|c_i|, so ‖error‖ ≤ r Σ‖c_i‖ holds over all tensors at once.
// (2) Rounding into the float accumulator costs u a call, u = 2^-24, relative to a partial sum ≤ Σ|c_i|: calls·u.
// (3) Partial sums are doubles: an addition costs 2^-53 each, `additions`·2^-53 in all.
// (4) outer, one row a sample: float chains cross samples. The j-th addition of a chain of k ≤ kChain rows rounds a
// partial
//     sum of norm ≤ j·C, so a chain's additions cost ≤ u·C·k(k + 1)/2, which is (kChain + 1)/2 roundings a row; f·g and
//     its product are two more.
// (5) outer, several rows: a chain never crosses samples, so what it rounds to is part of c_i, paid for by the norm
//     (ghost_norms adds kSampleRounding·m_i, m_i = Σ_t ‖g_t‖‖a_t‖). Then f·m_i ≤ C/kSampleRounding, and the doubles
//     cost additions·2^-53/kSampleRounding. Of Bfloat16 the norm has more in store, kTensorSampleRounding·m_i, and the
//     doubles cost less. (6) rows and embedding: f·x is exact in double; a sample's equal ids are
//     summed first, in the order in which embedding_norms measures them. (7) Underflow: ≤ 2^-150 an operation, under
//     the spare.
double clipped_outer_slack(int64_t samples, int64_t rows_per_sample, int64_t calls);
double clipped_rows_slack(int64_t samples, int64_t calls);
double clipped_embedding_slack(int64_t samples, int64_t calls);

// Where an embedding and a linear layer share a weight, each sample's two parts may cancel: ‖c_E‖ + ‖c_H‖ may exceed
// ‖c_E + c_H‖ ≤ C, up to this factor (accumulate_tied_cross_norms enforces it). Multiply both slacks by it.
constexpr double kTiedSlackFactor = 12;

}  // namespace sotto::kernels
