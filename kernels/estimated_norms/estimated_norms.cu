#include "base/error.h"
#include "cuda/launch.cuh"
#include "kernels/cuda_block.cuh"
#include "kernels/estimated_norms/estimated_norms_impl.h"

namespace sotto::kernels {
namespace {

// One block a sample. Rows in groups of kBlockThreads: their products with a probe go to shared memory, and each thread
// owns columns of g. A column's sum must outlive the groups, so a thread takes its columns one after the other and all
// rows for each.
__global__ void estimate_product_norms_kernel(EstimateInput input, VectorView<double> estimates) {
  extern __shared__ float weights[];  // of the sample's rows
  const int64_t first = int64_t(blockIdx.x) * input.length;
  double total = 0;
  for (int64_t k = 0; k < input.probes.rows; ++k) {
    const float* probe = input.probes.data + k * input.probes.cols;
    __syncthreads();
    for (int64_t t = threadIdx.x; t < input.length; t += kBlockThreads) {
      const float* a = input.a.data + (first + t) * input.a.cols;
      float sum = 0;
      for (int64_t j = 0; j < input.a.cols; ++j) sum += a[j] * probe[j];
      weights[t] = sum;
    }
    __syncthreads();
    for (int64_t j = threadIdx.x; j < input.g.cols; j += kBlockThreads) {
      float sum = 0;
      for (int64_t t = 0; t < input.length; ++t) sum += weights[t] * input.g.data[(first + t) * input.g.cols + j];
      total += double(sum) * sum;
    }
  }
  total = block_sum(total);
  if (threadIdx.x == 0) estimates.data[blockIdx.x] += total / double(input.probes.rows);
}

}  // namespace

void estimate_product_norms_cuda(const Exec& exec, const EstimateInput& input, VectorView<double> estimates) {
  if (estimates.size == 0) return;
  constexpr int64_t kMostRows = 10240;  // 40 KiB of shared memory, which every device has
  if (input.length > kMostRows)
    throw Error(ErrorKind::invalid_argument,
                cat("estimates on CUDA take sequences of at most ", kMostRows, " rows, got ", input.length));
  const Grid grid = {dim3(static_cast<unsigned>(estimates.size)), dim3(kBlockThreads),
                     static_cast<size_t>(input.length) * sizeof(float)};
  launch(exec, grid, estimate_product_norms_kernel, input, estimates);
}

}  // namespace sotto::kernels
