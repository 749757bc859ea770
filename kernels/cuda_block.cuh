#pragma once
#include <cstdint>

#include "kernels/bfloat16.h"

namespace sotto::kernels {

constexpr unsigned kBlockThreads = 256;

// The sum of `value` over the block's kBlockThreads threads, the same on each of them. A fixed tree: deterministic.
__device__ inline double block_sum(double value) {
  __shared__ double parts[kBlockThreads];
  parts[threadIdx.x] = value;
  for (unsigned half = kBlockThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
  }
  __syncthreads();
  const double sum = parts[0];
  __syncthreads();
  return sum;
}

// ‖x‖² by the whole block.
template <class T>
__device__ double block_square_sum(const T* x, int64_t n) {
  double sum = 0;
  for (int64_t j = threadIdx.x; j < n; j += kBlockThreads) {
    const double value = to_float(x[j]);
    sum += value * value;
  }
  return block_sum(sum);
}

}  // namespace sotto::kernels
