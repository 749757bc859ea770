#include "cuda/launch.cuh"
#include "kernels/clipped_sum/clipped_products_impl.h"

namespace sotto::kernels {
namespace {

constexpr int kThreads = 256;

// One thread an entry: neighbours read neighbouring addresses, and the samples' order is always the same.
__global__ void add_clipped_products_kernel(ProductStep step, const float* factors, const float* products,
                                            VectorView<double> sums, float* weight_sum) {
  const int64_t j = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j >= sums.size) return;
  double total = step.first ? 0 : sums.data[j];
  for (int64_t i = 0; i < step.matmul.batch; ++i)
    total += clipped_product(step.has_factors ? factors[step.sample + i] : 1.0f, products[i * sums.size + j]);
  if (step.last)
    weight_sum[j] = float(weight_sum[j] + total);
  else
    sums.data[j] = total;
}

// One block a row, whose largest activation all of its threads need first.
template <class T>
__global__ void write_scaled_rows_kernel(MatrixView<const T> g, MatrixView<const T> a, const float* factors,
                                         float* scaled_g, float* scaled_a) {
  __shared__ float parts[kThreads];
  const int64_t row = blockIdx.x;
  float largest = 0;
  for (int64_t j = threadIdx.x; j < a.cols; j += kThreads)
    largest = fmaxf(largest, fabsf(to_float(a.data[row * a.cols + j])));
  parts[threadIdx.x] = largest;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) parts[threadIdx.x] = fmaxf(parts[threadIdx.x], parts[threadIdx.x + half]);
  }
  __syncthreads();
  write_scaled_row(g.data + row * g.cols, a.data + row * a.cols, g.cols, a.cols, factors[row], parts[0],
                   int(threadIdx.x), kThreads, scaled_g + row * g.cols, scaled_a + row * a.cols);
}

}  // namespace

template <class T>
void write_scaled_rows_cuda(const Exec& exec, MatrixView<const T> g, MatrixView<const T> a,
                            VectorView<const float> factors, float* scaled_g, float* scaled_a) {
  launch(exec, {static_cast<unsigned>(g.rows), kThreads}, write_scaled_rows_kernel<T>, g, a, factors.data, scaled_g,
         scaled_a);
}
template void write_scaled_rows_cuda(const Exec&, MatrixView<const float>, MatrixView<const float>,
                                     VectorView<const float>, float*, float*);
template void write_scaled_rows_cuda(const Exec&, MatrixView<const Bfloat16>, MatrixView<const Bfloat16>,
                                     VectorView<const float>, float*, float*);

void add_clipped_products_cuda(const Exec& exec, const ProductStep& step, VectorView<const float> factors,
                               const float* products, VectorView<double> sums, float* weight_sum) {
  const auto blocks = static_cast<unsigned>((sums.size + kThreads - 1) / kThreads);
  launch(exec, {blocks, kThreads}, add_clipped_products_kernel, step, factors.data, products, sums, weight_sum);
}

}  // namespace sotto::kernels
