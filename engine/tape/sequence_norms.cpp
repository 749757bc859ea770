#include "engine/tape/sequence_norms.h"

#include "base/error.h"
#include "kernels/ghost_norms/ghost_norms.h"
#include "kernels/row_norms/row_norms.h"

namespace sotto {
namespace {

template <class T>
MatrixView<const T> matrix(const at::Tensor& tensor) {
  return {static_cast<const T*>(tensor.const_data_ptr()), tensor.size(0), tensor.size(1)};
}

template <class T>
at::Tensor add_norms_of(const Exec& exec, const at::Tensor& activation, const at::Tensor& gradient,
                        const kernels::Segments& segments, bool direct, VectorView<double> squared) {
  const MatrixView<const T> a = matrix<T>(activation), g = matrix<T>(gradient);
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

}  // namespace

void add_row_norms(const Exec& exec, const at::Tensor& rows, VectorView<double> squared) {
  if (rows.scalar_type() == at::kBFloat16)
    kernels::accumulate_row_norms(exec, matrix<kernels::Bfloat16>(rows), squared);
  else
    kernels::accumulate_row_norms(exec, matrix<float>(rows), squared);
}

kernels::Segments segments_of(const FactoredUse& use, int64_t batch) {
  return {batch, use.length, use.starts.defined() ? use.starts.const_data_ptr<int64_t>() : nullptr};
}

at::Tensor add_sequence_norms(const Exec& exec, const at::Tensor& activation, const at::Tensor& gradient,
                              const kernels::Segments& segments, bool direct, VectorView<double> squared) {
  require(activation.scalar_type() == gradient.scalar_type(), "factors of one type: activations are ",
          activation.scalar_type(), ", gradients ", gradient.scalar_type());
  const bool narrow = gradient.scalar_type() == at::kBFloat16;
  return (narrow ? add_norms_of<kernels::Bfloat16> : add_norms_of<float>)(exec, activation, gradient, segments, direct,
                                                                          squared);
}

}  // namespace sotto
