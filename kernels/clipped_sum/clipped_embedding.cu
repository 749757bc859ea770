#include "cuda/launch.cuh"
#include "kernels/clipped_sum/clipped_sum_impl.h"

namespace sotto::kernels {
namespace {

constexpr int kThreads = 256;

// One block a word and kThreads columns. It reads all ids once, kThreads at a time, and visits the word's rows in
// order: no sort, no atomics. A sample's rows are summed before its factor is applied.
__global__ void accumulate_clipped_embedding_kernel(const int64_t* ids, MatrixView<const float> g,
                                                    VectorView<const float> factors, Segments segments,
                                                    int64_t padding_index, MatrixView<float> sum) {
  __shared__ bool matches[kThreads];
  const int64_t word = blockIdx.x, j = int64_t(blockIdx.y) * kThreads + threadIdx.x;
  if (word == padding_index) return;
  double total = 0, sample_sum = 0;
  int64_t sample = -1;
  for (int64_t start = 0; start < g.rows; start += kThreads) {
    const int64_t mine = start + threadIdx.x;
    matches[threadIdx.x] = mine < g.rows && ids[mine] == word && factors.data[segments.sample_of(mine)] != 0;
    if (!__syncthreads_or(matches[threadIdx.x])) continue;
    for (int k = 0; k < kThreads; ++k) {
      if (!matches[k]) continue;
      const int64_t row = start + k;
      const int64_t own = segments.sample_of(row);
      if (own != sample) {
        if (sample >= 0) total += double(factors.data[sample]) * sample_sum;
        sample = own;
        sample_sum = 0;
      }
      if (j < g.cols) sample_sum += double(g.data[row * g.cols + j]);
    }
    __syncthreads();
  }
  if (sample < 0 || j >= g.cols) return;
  total += double(factors.data[sample]) * sample_sum;
  float& out = sum.data[word * g.cols + j];
  out = float(out + total);
}

}  // namespace

void accumulate_clipped_embedding_cuda(const Exec& exec, const int64_t* ids, MatrixView<const float> g,
                                       VectorView<const float> factors, const Segments& segments, int64_t padding_index,
                                       MatrixView<float> sum) {
  if (g.rows == 0 || sum.rows == 0 || sum.cols == 0) return;
  const dim3 blocks(static_cast<unsigned>(sum.rows), static_cast<unsigned>((g.cols + kThreads - 1) / kThreads));
  launch(exec, {blocks, kThreads}, accumulate_clipped_embedding_kernel, ids, g, factors, segments, padding_index, sum);
}

}  // namespace sotto::kernels
