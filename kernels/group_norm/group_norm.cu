#include "cuda/launch.cuh"
#include "kernels/cuda_block.cuh"
#include "kernels/group_norm/group_norm_impl.h"

namespace sotto::kernels {
namespace {

__device__ inline double warp_sum(double value) {
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffffu, value, distance);
  return value;
}

// One block a group of one sample, one warp a channel at a time: the lanes read neighbouring positions, and the second
// reading of the group is served by the cache.
__global__ void group_norm_backward_kernel(GroupNormArguments a) {
  const int64_t group = blockIdx.x;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  constexpr int kWarps = kBlockThreads / 32;
  const float mean = a.mean[group], rstd = a.rstd[group];
  const float* gamma = a.gamma ? a.gamma + group % a.groups * a.channels : nullptr;
  double sum = 0, sum_x = 0;
  for (int64_t c = warp; c < a.channels; c += kWarps) {
    const int64_t channel = group * a.channels + c;
    const float *x = a.x + channel * a.positions, *g = a.g + channel * a.positions;
    double own = 0, own_x = 0;
    for (int64_t t = lane; t < a.positions; t += 32) {
      own += g[t];
      own_x += double(g[t]) * (x[t] - mean);
    }
    own = warp_sum(own);
    own_x = warp_sum(own_x) * rstd;
    if (lane != 0) continue;
    if (a.shift) a.shift[channel] = static_cast<float>(own);
    if (a.scale) a.scale[channel] = static_cast<float>(own_x);
    sum += (gamma ? gamma[c] : 1) * own;
    sum_x += (gamma ? gamma[c] : 1) * own_x;
  }
  if (!a.input) return;
  sum = block_sum(sum);
  sum_x = block_sum(sum_x);
  const int64_t n = a.channels * a.positions;
  const NormTerms terms = norm_terms(mean, rstd, sum, sum_x, n);
  for (int64_t j = threadIdx.x; j < n; j += kBlockThreads) {
    const float scale = gamma ? gamma[j / a.positions] : 1;
    const int64_t place = group * n + j;
    a.input[place] = norm_input_gradient(terms, scale * a.g[place], a.x[place]);
  }
}

}  // namespace

void group_norm_backward_cuda(const Exec& exec, const GroupNormArguments& arguments) {
  const auto blocks = static_cast<unsigned>(arguments.samples * arguments.groups);
  launch(exec, {blocks, kBlockThreads}, group_norm_backward_kernel, arguments);
}

}  // namespace sotto::kernels
