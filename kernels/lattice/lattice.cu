#include "cuda/launch.cuh"
#include "kernels/cuda_block.cuh"
#include "kernels/lattice/lattice_impl.h"

namespace sotto::kernels {
namespace {

constexpr unsigned kThreads = 256;

Grid plan_columns(int64_t columns) {
  return {dim3(static_cast<unsigned>((columns + kThreads - 1) / kThreads)), dim3(kThreads)};
}

template <Rounding rounding>
__device__ Uint128 thread_square(const float* row, int64_t columns, double scale) {
  Uint128 squared = 0;
  for (int64_t begin = threadIdx.x; begin < columns; begin += kBlockThreads * kSquaresAtOnce) {
    SquareSums sums;
    for (int64_t n = 0; n < kSquaresAtOnce; ++n) {
      const int64_t j = begin + n * kBlockThreads;
      if (j >= columns) break;
      add_square<rounding>(row[j] * scale, sums);
    }
    squared = saturating_sum(squared, total(sums));
  }
  return squared;
}

// One block a row: its threads read neighbouring columns. Integers add up to the same in any order.
__global__ void accumulate_lattice_norms_kernel(MatrixView<const float> rows, const float* factors,
                                                const Rounding* roundings, double step, Uint128* squared) {
  __shared__ Uint128 parts[kBlockThreads];
  const int64_t i = blockIdx.x;
  if (roundings[i] == Rounding::dropped || factors[i] == 0) return;
  const float* row = rows.data + i * rows.cols;
  const double scale = static_cast<double>(factors[i]) / step;
  parts[threadIdx.x] = roundings[i] == Rounding::nearest ? thread_square<Rounding::nearest>(row, rows.cols, scale)
                                                         : thread_square<Rounding::toward_zero>(row, rows.cols, scale);
  for (unsigned half = kBlockThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) parts[threadIdx.x] = saturating_sum(parts[threadIdx.x], parts[threadIdx.x + half]);
  }
  if (threadIdx.x == 0) squared[i] = saturating_sum(squared[i], parts[0]);
}

// One thread a column: neighbours read neighbouring addresses.
__global__ void accumulate_on_lattice_kernel(MatrixView<const float> rows, const float* factors,
                                             const Rounding* roundings, double step, int64_t* sums) {
  const int64_t j = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j >= rows.cols) return;
  int64_t sum = 0;
  for (int64_t i = 0; i < rows.rows; ++i) {
    if (roundings[i] == Rounding::dropped || factors[i] == 0) continue;
    const double value = rows.data[i * rows.cols + j] * (static_cast<double>(factors[i]) / step);
    sum += roundings[i] == Rounding::nearest ? lattice_point<Rounding::nearest>(value)
                                             : lattice_point<Rounding::toward_zero>(value);
  }
  sums[j] += sum;
}

__global__ void scale_from_lattice_kernel(const int64_t* sums, double step, VectorView<float> out) {
  const int64_t j = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j < out.size) out.data[j] = from_lattice(sums[j], step);
}

}  // namespace

void accumulate_lattice_norms_cuda(const Exec& exec, MatrixView<const float> rows, VectorView<const float> factors,
                                   VectorView<const Rounding> roundings, double step, VectorView<Uint128> squared) {
  if (rows.rows == 0) return;
  launch(exec, {static_cast<unsigned>(rows.rows), kBlockThreads}, accumulate_lattice_norms_kernel, rows, factors.data,
         roundings.data, step, squared.data);
}

void accumulate_on_lattice_cuda(const Exec& exec, MatrixView<const float> rows, VectorView<const float> factors,
                                VectorView<const Rounding> roundings, double step, VectorView<int64_t> sums) {
  if (rows.cols == 0) return;
  launch(exec, plan_columns(rows.cols), accumulate_on_lattice_kernel, rows, factors.data, roundings.data, step,
         sums.data);
}

void scale_from_lattice_cuda(const Exec& exec, VectorView<const int64_t> sums, double step, VectorView<float> out) {
  if (out.size == 0) return;
  launch(exec, plan_columns(out.size), scale_from_lattice_kernel, sums.data, step, out);
}

}  // namespace sotto::kernels
