#pragma once
#include "base/view.h"
#include "kernels/bfloat16.h"
#include "kernels/segments.h"

namespace sotto::kernels {

// The gradient of an embedding for sample i: row v is Σ_{t: ids[i][t] = v} g[i·T + t]. ids is [B, T], g [B·T, d];
// positions with padding_index (-1: none) take no part.
//   squared[i] += Σ_v ‖Σ_{t: ids[i][t] = v} g_t‖², never below the true value.
// NaN or infinity in a sample makes squared[i] non-finite and leaves the others alone. On CUDA T is at most 4096.
void accumulate_embedding_norms(const Exec& exec, MatrixView<const int64_t> ids, MatrixView<const float> g,
                                int64_t padding_index, VectorView<double> squared);

// The embedding's weight [V, d] is also the head's: the parts c_E and c_H of the gradient add up, so besides ‖c_E‖²
// (from accumulate_embedding_norms) and ‖c_H‖² (from accumulate_ghost_norms or accumulate_outer_norms) there is
//   squared[i] += 2 Σ_{s,t} g_head[t][ids[s]] · ⟨a_head[t], g_embedding[s]⟩ + error,
// where error covers all rounding, so that the three together are not below ‖c_E + c_H‖², and not below
// (‖c_E‖² + ‖c_H‖²) / 64 either: what kTiedSlackFactor of the clipped sums relies on. The value may be negative.
// a_head is [B·Th, d], g_head [B·Th, V], g_embedding [B·Te, d]. On the CPU an id outside [0, V) throws; on CUDA, where
// that would need a synchronisation, it makes squared[i] NaN.
void accumulate_tied_cross_norms(const Exec& exec, MatrixView<const int64_t> ids, MatrixView<const float> g_embedding,
                                 int64_t padding_index, MatrixView<const float> a_head, MatrixView<const float> g_head,
                                 VectorView<double> squared);

// Both where sample i has the ids of its segment, and the rows of the head of its segment there.
void accumulate_ragged_embedding_norms(const Exec& exec, VectorView<const int64_t> ids, MatrixView<const float> g,
                                       const Segments& segments, int64_t padding_index, VectorView<double> squared);
void accumulate_ragged_tied_cross_norms(const Exec& exec, VectorView<const int64_t> ids,
                                        MatrixView<const float> g_embedding, const Segments& segments,
                                        int64_t padding_index, MatrixView<const float> a_head,
                                        MatrixView<const float> g_head, const Segments& head_segments,
                                        VectorView<double> squared);

// Of a head in Bfloat16, whose norms and clipped sums are those of Bfloat16, too: with kTensorSampleRounding.
void accumulate_ragged_tied_cross_norms(const Exec& exec, VectorView<const int64_t> ids,
                                        MatrixView<const float> g_embedding, const Segments& segments,
                                        int64_t padding_index, MatrixView<const Bfloat16> a_head,
                                        MatrixView<const Bfloat16> g_head, const Segments& head_segments,
                                        VectorView<double> squared);

}  // namespace sotto::kernels
