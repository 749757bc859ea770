#include "kernels/embedding_norms/embedding_norms.h"

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/embedding_norms/embedding_norms_impl.h"
#include "kernels/occurrences.h"

namespace sotto::kernels {
namespace {

constexpr int64_t kLongestOnCuda = 4096;  // what a block's shared memory holds links for

void check(const Exec& exec, VectorView<const int64_t> ids, MatrixView<const float> g, const Segments& segments,
           VectorView<double> squared) {
  require(g.rows == ids.size, "need a gradient an id: ", g.rows, " rows for ", ids.size);
  require(squared.size == segments.count, "need a norm a sample: ", squared.size, " norms for ", segments.count,
          " samples");
  require_segments(exec, segments, ids.size);
  require(!exec.on_cuda() || segments.length <= kLongestOnCuda, "on CUDA a sample has at most ", kLongestOnCuda,
          " ids, got ", segments.length);
}

}  // namespace

void accumulate_embedding_norms(const Exec& exec, MatrixView<const int64_t> ids, MatrixView<const float> g,
                                int64_t padding_index, VectorView<double> squared) {
  if (ids.cols == 0) return;
  accumulate_ragged_embedding_norms(exec, {ids.data, ids.rows * ids.cols}, g, {ids.rows, ids.cols}, padding_index,
                                    squared);
}

void accumulate_ragged_embedding_norms(const Exec& exec, VectorView<const int64_t> ids, MatrixView<const float> g,
                                       const Segments& segments, int64_t padding_index, VectorView<double> squared) {
  check(exec, ids, g, segments, squared);
  if (exec.on_cuda()) return accumulate_embedding_norms_cuda(exec, ids.data, g, segments, padding_index, squared);
  const int64_t floats = ids.size * g.cols / std::max<int64_t>(1, segments.count);
  parallel_for(exec.threads(), segments.count, 65536 / std::max<int64_t>(1, floats) + 1,
               [&](int64_t begin, int64_t end) {
                 add_embedding_norms_cpu(ids.data, g, segments, padding_index, squared.data, begin, end);
               });
}

void accumulate_tied_cross_norms(const Exec& exec, MatrixView<const int64_t> ids, MatrixView<const float> g_embedding,
                                 int64_t padding_index, MatrixView<const float> a_head, MatrixView<const float> g_head,
                                 VectorView<double> squared) {
  if (ids.rows == 0) return;
  require(a_head.rows % ids.rows == 0, a_head.rows, " rows of the head do not divide by ", ids.rows, " samples");
  if (ids.cols == 0 || a_head.rows == 0) return;  // one part alone: no cross term
  accumulate_ragged_tied_cross_norms(exec, {ids.data, ids.rows * ids.cols}, g_embedding, {ids.rows, ids.cols},
                                     padding_index, a_head, g_head, {ids.rows, a_head.rows / ids.rows}, squared);
}

template <class T>
static void accumulate_tied(const Exec& exec, VectorView<const int64_t> ids, MatrixView<const float> g_embedding,
                            const Segments& segments, int64_t padding_index, MatrixView<const T> a_head,
                            MatrixView<const T> g_head, const Segments& head_segments, double spare,
                            VectorView<double> squared) {
  check(exec, ids, g_embedding, segments, squared);
  require(a_head.rows == g_head.rows, "need a gradient an activation: ", g_head.rows, " rows for ", a_head.rows);
  require(a_head.cols == g_embedding.cols, "a tied head has the embedding's width ", g_embedding.cols, ", got ",
          a_head.cols);
  require(head_segments.count == segments.count, "the head has ", head_segments.count, " samples, the embedding ",
          segments.count);
  require_segments(exec, head_segments, a_head.rows);
  if (segments.count == 0) return;
  const TiedInputOf<T> input{ids.data, g_embedding, segments, padding_index, a_head, g_head, head_segments, spare};
  if (exec.on_cuda()) return accumulate_tied_cross_norms_cuda(exec, input, squared);
  require_ids(ids.data, segments, padding_index, g_head.cols);
  parallel_for(exec.threads(), segments.count, 1,
               [&](int64_t begin, int64_t end) { add_tied_cross_norms_cpu(input, squared.data, begin, end); });
}

void accumulate_ragged_tied_cross_norms(const Exec& exec, VectorView<const int64_t> ids,
                                        MatrixView<const float> g_embedding, const Segments& segments,
                                        int64_t padding_index, MatrixView<const float> a_head,
                                        MatrixView<const float> g_head, const Segments& head_segments,
                                        VectorView<double> squared) {
  accumulate_tied(exec, ids, g_embedding, segments, padding_index, a_head, g_head, head_segments, kSampleRounding,
                  squared);
}

void accumulate_ragged_tied_cross_norms(const Exec& exec, VectorView<const int64_t> ids,
                                        MatrixView<const float> g_embedding, const Segments& segments,
                                        int64_t padding_index, MatrixView<const Bfloat16> a_head,
                                        MatrixView<const Bfloat16> g_head, const Segments& head_segments,
                                        VectorView<double> squared) {
  accumulate_tied(exec, ids, g_embedding, segments, padding_index, a_head, g_head, head_segments, kTensorSampleRounding,
                  squared);
}

}  // namespace sotto::kernels
