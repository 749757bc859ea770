#include "engine/tape/sequence_norms.h"

#include "kernels/ghost_norms/ghost_norms.h"
#include "kernels/row_norms/row_norms.h"

namespace sotto {
namespace {

MatrixView<const float> matrix(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), tensor.size(0), tensor.size(1)};
}

}  // namespace

void add_row_norms(const Exec& exec, const at::Tensor& rows, VectorView<double> squared) {
  if (rows.scalar_type() != at::kBFloat16) return kernels::accumulate_row_norms(exec, matrix(rows), squared);
  const auto* const data = static_cast<const kernels::Bfloat16*>(rows.const_data_ptr());
  kernels::accumulate_row_norms(exec, {data, rows.size(0), rows.size(1)}, squared);
}

kernels::Segments segments_of(const FactoredUse& use, int64_t batch) {
  return {batch, use.length, use.starts.defined() ? use.starts.const_data_ptr<int64_t>() : nullptr};
}

at::Tensor add_sequence_norms(const Exec& exec, const at::Tensor& activation, const at::Tensor& gradient,
                              const kernels::Segments& segments, bool direct, VectorView<double> squared) {
  const MatrixView<const float> a = matrix(activation), g = matrix(gradient);
  const int64_t doubles = kernels::sequence_norms_workspace(exec, a, g, segments);
  at::Tensor space;
  VectorView<double> workspace = {nullptr, 0};
  if (doubles > 0) {
    space = at::empty({doubles}, gradient.options().dtype(at::kDouble));
    workspace = {space.mutable_data_ptr<double>(), doubles};
  }
  if (direct)
    kernels::accumulate_ragged_direct_norms(exec, a, g, segments, false, workspace, squared);
  else
    kernels::accumulate_ragged_ghost_norms(exec, a, g, segments, false, workspace, squared);
  return space;
}

}  // namespace sotto
