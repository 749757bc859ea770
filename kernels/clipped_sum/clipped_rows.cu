#include "cuda/launch.cuh"
#include "kernels/clipped_sum/clipped_sum_impl.h"

namespace sotto::kernels {
namespace {

// One thread a column: neighbours read neighbouring addresses, and no atomics keep the sum deterministic.
template <class T, class Sum>
__global__ void accumulate_clipped_rows_kernel(MatrixView<const T> x, VectorView<const float> factors,
                                               VectorView<Sum> sum) {
  const int64_t j = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j >= x.cols) return;
  double total = 0;
  for (int64_t i = 0; i < x.rows; ++i) {
    const float factor = factors.data[i];
    if (factor != 0) total += double(factor) * double(to_float(x.data[i * x.cols + j]));
  }
  sum.data[j] = Sum(double(sum.data[j]) + total);
}

template <class T, class Sum>
void launch_rows(const Exec& exec, MatrixView<const T> x, VectorView<const float> factors, VectorView<Sum> sum) {
  constexpr unsigned threads = 256;
  if (x.cols == 0) return;
  const unsigned blocks = static_cast<unsigned>((x.cols + threads - 1) / threads);
  launch(exec, {blocks, threads}, accumulate_clipped_rows_kernel<T, Sum>, x, factors, sum);
}

}  // namespace

void accumulate_clipped_rows_cuda(const Exec& exec, MatrixView<const float> x, VectorView<const float> factors,
                                  VectorView<float> sum) {
  launch_rows(exec, x, factors, sum);
}

void accumulate_clipped_rows_cuda(const Exec& exec, MatrixView<const float> x, VectorView<const float> factors,
                                  VectorView<double> sum) {
  launch_rows(exec, x, factors, sum);
}

void accumulate_clipped_rows_cuda(const Exec& exec, MatrixView<const Bfloat16> x, VectorView<const float> factors,
                                  VectorView<float> sum) {
  launch_rows(exec, x, factors, sum);
}

}  // namespace sotto::kernels
