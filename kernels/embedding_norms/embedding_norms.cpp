#include "kernels/embedding_norms/embedding_norms.h"

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/embedding_norms/embedding_norms_impl.h"
#include "kernels/occurrences.h"

namespace sotto::kernels {
namespace {

constexpr int64_t kLongestOnCuda = 4096;  // what a block's shared memory holds links for

void check(const Exec& exec, MatrixView<const int64_t> ids, MatrixView<const float> g, VectorView<double> squared) {
  require(g.rows == ids.rows * ids.cols, "need a gradient an id: ", g.rows, " rows for ", ids.rows * ids.cols);
  require(squared.size == ids.rows, "need a norm a sample: ", squared.size, " norms for ", ids.rows, " samples");
  require(!exec.on_cuda() || ids.cols <= kLongestOnCuda, "on CUDA a sample has at most ", kLongestOnCuda, " ids, got ",
          ids.cols);
}

}  // namespace

void accumulate_embedding_norms(const Exec& exec, MatrixView<const int64_t> ids, MatrixView<const float> g,
                                int64_t padding_index, VectorView<double> squared) {
  check(exec, ids, g, squared);
  if (exec.on_cuda()) return accumulate_embedding_norms_cuda(exec, ids, g, padding_index, squared);
  const int64_t grain = 65536 / std::max<int64_t>(1, ids.cols * g.cols) + 1;
  parallel_for(exec.threads(), ids.rows, grain, [&](int64_t begin, int64_t end) {
    add_embedding_norms_cpu(ids, g, padding_index, squared.data, begin, end);
  });
}

void accumulate_tied_cross_norms(const Exec& exec, MatrixView<const int64_t> ids, MatrixView<const float> g_embedding,
                                 int64_t padding_index, MatrixView<const float> a_head, MatrixView<const float> g_head,
                                 VectorView<double> squared) {
  check(exec, ids, g_embedding, squared);
  require(a_head.rows == g_head.rows, "need a gradient an activation: ", g_head.rows, " rows for ", a_head.rows);
  require(a_head.cols == g_embedding.cols, "a tied head has the embedding's width ", g_embedding.cols, ", got ",
          a_head.cols);
  if (ids.rows == 0) return;
  require(a_head.rows % ids.rows == 0, a_head.rows, " rows of the head do not divide by ", ids.rows, " samples");
  const TiedInput input{ids, g_embedding, padding_index, a_head, g_head, a_head.rows / ids.rows};
  if (exec.on_cuda()) return accumulate_tied_cross_norms_cuda(exec, input, squared);
  require_ids(ids, padding_index, g_head.cols);
  parallel_for(exec.threads(), ids.rows, 1,
               [&](int64_t begin, int64_t end) { add_tied_cross_norms_cpu(input, squared.data, begin, end); });
}

}  // namespace sotto::kernels
