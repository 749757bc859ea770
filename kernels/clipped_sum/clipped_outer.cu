#include "cuda/launch.cuh"
#include "kernels/clipped_sum/clipped_sum_impl.h"

namespace sotto::kernels {
namespace {

constexpr int kTile = 16;

// One thread an entry of weight_sum, 16x16 a block; both factors of a chain of rows pass through shared memory.
// Products of floats and their sums are in double: exact factors, no underflow. A dropped sample is read as 0.
template <class T>
__global__ void accumulate_clipped_outer_kernel(MatrixView<const T> g, MatrixView<const T> a,
                                                VectorView<const float> factors, Segments segments,
                                                MatrixView<float> weight_sum) {
  __shared__ double shared_g[kTile][kTile + 1], shared_a[kTile][kTile + 1];
  const int64_t i = int64_t(blockIdx.y) * kTile + threadIdx.y, j = int64_t(blockIdx.x) * kTile + threadIdx.x;
  const int64_t load_i = int64_t(blockIdx.y) * kTile + threadIdx.x;
  double total = 0;
  for (int64_t begin = 0, end; begin < g.rows; begin = end) {
    end = chain_end(begin, g.rows, segments);
    const bool one_row = one_row_each(segments);
    const int64_t sample = segments.sample_of(begin);
    double chain = 0;
    for (int64_t r0 = begin; r0 < end; r0 += kTile) {
      const int64_t r = r0 + threadIdx.y;
      const float factor = r < end ? factors.data[one_row ? r : sample] : 0.0f;
      shared_g[threadIdx.y][threadIdx.x] =
          factor != 0 && load_i < g.cols ? double(factor) * double(to_float(g.data[r * g.cols + load_i])) : 0.0;
      shared_a[threadIdx.y][threadIdx.x] = factor != 0 && j < a.cols ? double(to_float(a.data[r * a.cols + j])) : 0.0;
      __syncthreads();
      for (int k = 0; k < kTile; ++k) chain += shared_g[k][threadIdx.y] * shared_a[k][threadIdx.x];
      __syncthreads();
    }
    total += chain;
  }
  if (i >= weight_sum.rows || j >= weight_sum.cols) return;
  float& out = weight_sum.data[i * weight_sum.cols + j];
  out = float(out + total);
}

// One thread an entry of bias_sum: neighbours read neighbouring columns.
template <class T>
__global__ void accumulate_clipped_bias_kernel(MatrixView<const T> g, VectorView<const float> factors,
                                               Segments segments, VectorView<float> bias_sum) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= g.cols) return;
  double total = 0;
  for (int64_t begin = 0, end; begin < g.rows; begin = end) {
    end = chain_end(begin, g.rows, segments);
    const bool one_row = one_row_each(segments);
    const int64_t sample = segments.sample_of(begin);
    double chain = 0;
    for (int64_t r = begin; r < end; ++r) {
      const float factor = factors.data[one_row ? r : sample];
      if (factor != 0) chain += double(factor) * double(to_float(g.data[r * g.cols + i]));
    }
    total += chain;
  }
  bias_sum.data[i] = float(bias_sum.data[i] + total);
}

unsigned blocks_for(int64_t n, int64_t size) {
  return static_cast<unsigned>((n + size - 1) / size);
}

template <class T>
void launch_outer(const Exec& exec, MatrixView<const T> g, MatrixView<const T> a, VectorView<const float> factors,
                  const Segments& segments, MatrixView<float> weight_sum, VectorView<float> bias_sum) {
  if (g.rows == 0 || g.cols == 0) return;
  if (a.cols > 0)
    launch(exec, {dim3(blocks_for(a.cols, kTile), blocks_for(g.cols, kTile)), dim3(kTile, kTile)},
           accumulate_clipped_outer_kernel<T>, g, a, factors, segments, weight_sum);
  if (bias_sum.data != nullptr)
    launch(exec, {blocks_for(g.cols, 256), 256}, accumulate_clipped_bias_kernel<T>, g, factors, segments, bias_sum);
}

}  // namespace

void accumulate_clipped_outer_cuda(const Exec& exec, MatrixView<const float> g, MatrixView<const float> a,
                                   VectorView<const float> factors, const Segments& segments,
                                   MatrixView<float> weight_sum, VectorView<float> bias_sum) {
  launch_outer(exec, g, a, factors, segments, weight_sum, bias_sum);
}

void accumulate_clipped_outer_cuda(const Exec& exec, MatrixView<const Bfloat16> g, MatrixView<const Bfloat16> a,
                                   VectorView<const float> factors, const Segments& segments,
                                   MatrixView<float> weight_sum, VectorView<float> bias_sum) {
  launch_outer(exec, g, a, factors, segments, weight_sum, bias_sum);
}

}  // namespace sotto::kernels
