#include "engine/tape/sequence_sums.h"

#include "base/error.h"
#include "kernels/clipped_sum/clipped_products.h"
#include "kernels/clipped_sum/clipped_sum.h"

namespace sotto {
namespace {

constexpr int64_t kWorkspaceBytes = int64_t{256} << 20;

// What the library loads by vectors; a view may begin anywhere.
bool begins_whole(const at::Tensor& tensor) {
  return reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 16 == 0;
}

template <class T>
void add_sums_of(const Exec& exec, const at::Tensor& gradient, const at::Tensor& activation,
                 VectorView<const float> factors, const kernels::Segments& segments, MatrixView<float> weight_sum,
                 VectorView<float> bias_sum) {
  const auto matrix = [](const at::Tensor& x) {
    return MatrixView<const T>{static_cast<const T*>(x.const_data_ptr()), x.size(0), x.size(1)};
  };
  const MatrixView<const T> g = matrix(gradient), a = matrix(activation);
  const bool by_library = exec.on_cuda() && segments.starts == nullptr && segments.length > 1 &&
                          begins_whole(gradient) && begins_whole(activation);
  if (!by_library) return kernels::accumulate_ragged_clipped_outer(exec, g, a, factors, segments, weight_sum, bias_sum);
  thread_local Blas blas;  // its algorithms are found once a shape, and no two threads may use one
  const int64_t bytes =
      kernels::clipped_products_workspace(blas, {segments.count, segments.length, a.cols, g.cols}, kWorkspaceBytes);
  const at::Tensor space = at::empty({bytes}, gradient.options().dtype(at::kChar));
  kernels::accumulate_clipped_products(exec, blas, g, a, factors, segments.length,
                                       {static_cast<char*>(space.mutable_data_ptr()), bytes}, weight_sum, bias_sum);
}

}  // namespace

void add_clipped_sequences(const Exec& exec, const at::Tensor& gradient, const at::Tensor& activation,
                           VectorView<const float> factors, const kernels::Segments& segments,
                           MatrixView<float> weight_sum, VectorView<float> bias_sum) {
  require(activation.scalar_type() == gradient.scalar_type(), "factors of one type: activations are ",
          activation.scalar_type(), ", gradients ", gradient.scalar_type());
  const bool narrow = gradient.scalar_type() == at::kBFloat16;
  (narrow ? add_sums_of<kernels::Bfloat16> : add_sums_of<float>)(exec, gradient, activation, factors, segments,
                                                                 weight_sum, bias_sum);
}

}  // namespace sotto
