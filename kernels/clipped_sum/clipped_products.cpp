#include "base/error.h"
#include "kernels/clipped_sum/clipped_products_impl.h"
#include "kernels/clipped_sum/clipped_sum_impl.h"

namespace sotto::kernels {

int64_t clipped_products_workspace(const Blas& blas, const ClippedProductsSize& size, int64_t limit) {
  require(size.rows_per_sample >= 1, "rows_per_sample must be at least 1, got ", size.rows_per_sample);
  return plan_products<float>(size, static_cast<int64_t>(blas.workspace_limit()), limit).bytes();  // of either type
}

template <class T>
void accumulate_clipped_products(const Exec& exec, Blas& blas, MatrixView<const T> g, MatrixView<const T> a,
                                 VectorView<const float> factors, int64_t rows_per_sample, VectorView<char> workspace,
                                 MatrixView<float> weight_sum, VectorView<float> bias_sum) {
  const Segments segments{factors.size, rows_per_sample};
  require_outer_sizes(exec, g, a, factors, segments, weight_sum, bias_sum);
  require(exec.on_cuda(), "products of cuBLASLt run on CUDA; on the CPU there is accumulate_clipped_outer");
  if (bias_sum.data)
    accumulate_clipped_outer_cuda(exec, g, {a.data, a.rows, 0}, factors, segments, {nullptr, g.cols, 0}, bias_sum);
  if (g.rows == 0 || g.cols == 0 || a.cols == 0) return;
  const auto plan = plan_products<T>({factors.size, rows_per_sample, a.cols, g.cols},
                                     static_cast<int64_t>(blas.workspace_limit()), workspace.size);
  require(workspace.size >= plan.bytes(), "the workspace has ", workspace.size, " bytes, needs ", plan.bytes(),
          " for one sample's gradient of ", g.cols, "x", a.cols, "; ask clipped_products_workspace");
  const VectorView<double> sums{reinterpret_cast<double*>(workspace.data), plan.entries()};
  auto* const products = reinterpret_cast<float*>(workspace.data + plan.products());
  auto* const scaled_g = reinterpret_cast<float*>(workspace.data + plan.scaled_g());
  auto* const scaled_a = reinterpret_cast<float*>(workspace.data + plan.scaled_a());
  if (plan.crosses_samples()) write_scaled_rows_cuda(exec, g, a, factors, scaled_g, scaled_a);
  each_step<T>(plan, [&](const ProductStep& step) {
    const int64_t in_g = step.row * g.cols, in_a = step.row * a.cols;
    const void *const left = step.has_factors ? static_cast<const void*>(g.data + in_g) : scaled_g + in_g,
                      *const right = step.has_factors ? static_cast<const void*>(a.data + in_a) : scaled_a + in_a;
    blas.multiply(exec, step.matmul, left, right, products, workspace.data + plan.library());
    add_clipped_products_cuda(exec, step, factors, products, sums, weight_sum.data);
  });
}

template void accumulate_clipped_products(const Exec&, Blas&, MatrixView<const float>, MatrixView<const float>,
                                          VectorView<const float>, int64_t, VectorView<char>, MatrixView<float>,
                                          VectorView<float>);
template void accumulate_clipped_products(const Exec&, Blas&, MatrixView<const Bfloat16>, MatrixView<const Bfloat16>,
                                          VectorView<const float>, int64_t, VectorView<char>, MatrixView<float>,
                                          VectorView<float>);

}  // namespace sotto::kernels
