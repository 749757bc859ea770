#include "kernels/ghost_norms/ghost_norms.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/ghost_norms/tensor_norms_impl.h"

namespace sotto::kernels {
namespace {

template <class T>
void check(const Exec& exec, const GhostInputOf<T>& input, VectorView<double> squared) {
  require(input.a.rows == input.g.rows, "need a gradient an activation: ", input.g.rows, " rows for ", input.a.rows);
  require(squared.size == input.segments.count, "need a norm a sample: ", squared.size, " norms for ",
          input.segments.count, " samples");
  require_segments(exec, input.segments, input.a.rows);
}

// Where there is a workspace tensor cores are always taken: a tile of which most is empty still costs less than
// doubles.
template <class T>
bool by_tensor_cores(const Exec& exec, const GhostInputOf<T>& input, VectorView<double> workspace) {
  if (!exec.on_cuda() || workspace.size == 0) return false;
  const int64_t needed = sequence_norms_workspace(exec, input.a, input.g, input.segments);
  require(workspace.size >= needed, "the workspace has ", workspace.size, " doubles, needs ", needed, " for ",
          input.a.rows, " rows; ask sequence_norms_workspace");
  return true;
}

template <class T, class AddNorms>
void for_samples(const Exec& exec, const GhostInputOf<T>& input, VectorView<double> squared, AddNorms add_norms) {
  const int64_t length = input.a.rows / std::max<int64_t>(1, squared.size) + 1;  // the mean
  const int64_t work = length * length * (input.a.cols + input.g.cols) / 2;
  const int64_t grain = (int64_t{1} << 19) / std::max<int64_t>(1, work) + 1;
  parallel_for(exec.threads(), squared.size, grain,
               [&](int64_t begin, int64_t end) { add_norms(input, squared.data, begin, end); });
}

}  // namespace

void accumulate_ghost_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                            bool with_bias, VectorView<double> squared) {
  accumulate_ragged_ghost_norms(exec, a, g, {squared.size, length}, with_bias, squared);
}

void accumulate_direct_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                             bool with_bias, VectorView<double> squared) {
  accumulate_ragged_direct_norms(exec, a, g, {squared.size, length}, with_bias, squared);
}

void accumulate_ragged_ghost_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g,
                                   const Segments& segments, bool with_bias, VectorView<double> squared) {
  accumulate_ragged_ghost_norms(exec, a, g, segments, with_bias, {nullptr, 0}, squared);
}

void accumulate_ragged_direct_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g,
                                    const Segments& segments, bool with_bias, VectorView<double> squared) {
  accumulate_ragged_direct_norms(exec, a, g, segments, with_bias, {nullptr, 0}, squared);
}

int64_t sequence_norms_workspace(const Exec& exec, MatrixView<const Bfloat16> a, MatrixView<const Bfloat16> g,
                                 const Segments& segments) {
  return exec.on_cuda() ? plan_tensor_norms<Bfloat16>(segments, a.rows, a.cols, g.cols).doubles() : 0;
}

int64_t sequence_norms_workspace(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g,
                                 const Segments& segments) {
  return exec.on_cuda() ? plan_tensor_norms<float>(segments, a.rows, a.cols, g.cols).doubles() : 0;
}

void accumulate_ragged_ghost_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g,
                                   const Segments& segments, bool with_bias, VectorView<double> workspace,
                                   VectorView<double> squared) {
  const GhostInput input{a, g, segments, with_bias, kSampleRounding};
  check(exec, input, squared);
  if (by_tensor_cores(exec, input, workspace)) return accumulate_tensor_ghost_norms(exec, input, workspace, squared);
  if (exec.on_cuda()) return accumulate_ghost_norms_cuda(exec, input, squared);
  for_samples(exec, input, squared, add_ghost_norms_cpu);
}

void accumulate_ragged_direct_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g,
                                    const Segments& segments, bool with_bias, VectorView<double> workspace,
                                    VectorView<double> squared) {
  const GhostInput input{a, g, segments, with_bias, kSampleRounding};
  check(exec, input, squared);
  if (by_tensor_cores(exec, input, workspace)) return accumulate_tensor_direct_norms(exec, input, workspace, squared);
  if (exec.on_cuda()) return accumulate_direct_norms_cuda(exec, input, squared);
  for_samples(exec, input, squared, add_direct_norms_cpu);
}

void accumulate_ragged_ghost_norms(const Exec& exec, MatrixView<const Bfloat16> a, MatrixView<const Bfloat16> g,
                                   const Segments& segments, bool with_bias, VectorView<double> workspace,
                                   VectorView<double> squared) {
  const Bfloat16GhostInput input{a, g, segments, with_bias, kTensorSampleRounding};
  check(exec, input, squared);
  if (by_tensor_cores(exec, input, workspace)) return accumulate_tensor_ghost_norms(exec, input, workspace, squared);
  if (exec.on_cuda()) return accumulate_ghost_norms_cuda(exec, input, squared);
  for_samples(exec, input, squared, add_bfloat16_ghost_norms_cpu);
}

void accumulate_ragged_direct_norms(const Exec& exec, MatrixView<const Bfloat16> a, MatrixView<const Bfloat16> g,
                                    const Segments& segments, bool with_bias, VectorView<double> workspace,
                                    VectorView<double> squared) {
  const Bfloat16GhostInput input{a, g, segments, with_bias, kTensorSampleRounding};
  check(exec, input, squared);
  if (by_tensor_cores(exec, input, workspace)) return accumulate_tensor_direct_norms(exec, input, workspace, squared);
  if (exec.on_cuda()) return accumulate_direct_norms_cuda(exec, input, squared);
  for_samples(exec, input, squared, add_bfloat16_direct_norms_cpu);
}

}  // namespace sotto::kernels
