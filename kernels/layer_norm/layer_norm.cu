#include <algorithm>

#include "cuda/launch.cuh"
#include "kernels/cuda_block.cuh"
#include "kernels/layer_norm/layer_norm_impl.h"

namespace sotto::kernels {
namespace {

constexpr int kTile = 32;
constexpr int kTileRows = kBlockThreads / kTile;

// One block a sample and 32 columns: a warp reads 128 neighbouring bytes, the eight warps take every eighth row.
__global__ void layer_norm_scale_kernel(LayerNormArguments a) {
  __shared__ double parts[2][kTileRows][kTile];
  const int lane = threadIdx.x % kTile, warp = threadIdx.x / kTile;
  const int64_t sample = blockIdx.x, column = int64_t(blockIdx.y) * kTile + lane;
  double scale = 0, shift = 0;
  if (column < a.columns)
    for (int64_t t = warp; t < a.rows.length; t += kTileRows) {
      const int64_t row = row_of(a.rows, sample, t);
      const float g = a.g[row * a.columns + column];
      scale += double(g) * ((a.x[row * a.columns + column] - (a.mean ? a.mean[row] : 0)) * a.rstd[row]);
      shift += g;
    }
  parts[0][warp][lane] = scale;
  parts[1][warp][lane] = shift;
  __syncthreads();
  if (warp > 0 || column >= a.columns) return;
  for (int k = 1; k < kTileRows; ++k) {
    scale += parts[0][k][lane];
    shift += parts[1][k][lane];
  }
  if (a.scale) a.scale[sample * a.columns + column] = static_cast<float>(scale);
  if (a.shift) a.shift[sample * a.columns + column] = static_cast<float>(shift);
}

// One block a row.
__global__ void layer_norm_input_kernel(LayerNormArguments a) {
  const int64_t row = blockIdx.x;
  const float *x = a.x + row * a.columns, *g = a.g + row * a.columns;
  const float mean = a.mean ? a.mean[row] : 0, rstd = a.rstd[row];
  double sum = 0, sum_x = 0;
  for (int64_t j = threadIdx.x; j < a.columns; j += kBlockThreads) {
    const float value = a.gamma ? a.gamma[j] * g[j] : g[j];
    sum += value;
    sum_x += double(value) * (x[j] - mean);
  }
  sum = block_sum(sum);
  sum_x = block_sum(sum_x);
  const NormTerms terms = norm_terms(mean, rstd, a.mean ? sum : 0, sum_x * rstd, a.columns);
  for (int64_t j = threadIdx.x; j < a.columns; j += kBlockThreads)
    a.input[row * a.columns + j] = norm_input_gradient(terms, a.gamma ? a.gamma[j] * g[j] : g[j], x[j]);
}

}  // namespace

void layer_norm_backward_cuda(const Exec& exec, const LayerNormArguments& a) {
  if (a.rows.samples == 0 || a.columns == 0) return;
  const auto samples = static_cast<unsigned>(a.rows.samples);
  const auto tiles = static_cast<unsigned>((a.columns + kTile - 1) / kTile);
  if (a.scale || a.shift) launch(exec, {dim3(samples, tiles), dim3(kBlockThreads)}, layer_norm_scale_kernel, a);
  if (a.input && a.rows.length > 0)
    launch(exec, {static_cast<unsigned>(a.rows.samples * a.rows.length), kBlockThreads}, layer_norm_input_kernel, a);
}

}  // namespace sotto::kernels
