#include "cuda/launch.cuh"
#include "kernels/clipped_sum/clipped_products_impl.h"

namespace sotto::kernels {
namespace {

// One thread an entry: neighbours read neighbouring addresses, and the samples' order is always the same.
__global__ void add_clipped_products_kernel(ProductStep step, const float* factors, const float* products,
                                            VectorView<double> sums, float* weight_sum) {
  const int64_t j = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j >= sums.size) return;
  double total = step.first ? 0 : sums.data[j];
  for (int64_t i = 0; i < step.samples; ++i)
    total += clipped_product(factors[step.sample + i], products[i * sums.size + j]);
  if (step.last)
    weight_sum[j] = float(weight_sum[j] + total);
  else
    sums.data[j] = total;
}

}  // namespace

void add_clipped_products_cuda(const Exec& exec, const ProductStep& step, VectorView<const float> factors,
                               const float* products, VectorView<double> sums, float* weight_sum) {
  constexpr unsigned threads = 256;
  const auto blocks = static_cast<unsigned>((sums.size + threads - 1) / threads);
  launch(exec, {blocks, threads}, add_clipped_products_kernel, step, factors.data, products, sums, weight_sum);
}

}  // namespace sotto::kernels
