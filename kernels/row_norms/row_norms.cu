#include "cuda/launch.cuh"
#include "kernels/cuda_block.cuh"
#include "kernels/rounding.h"
#include "kernels/row_norms/row_norms_impl.h"

namespace sotto::kernels {
namespace {

// One block a row: its threads read neighbouring columns.
__global__ void accumulate_row_norms_kernel(MatrixView<const float> x, VectorView<double> squared) {
  const int64_t i = blockIdx.x;
  const double sum = block_square_sum(x.data + i * x.cols, x.cols);
  if (threadIdx.x == 0) add_up(squared.data[i], raised(sum, x.cols));
}

}  // namespace

void accumulate_row_norms_cuda(const Exec& exec, MatrixView<const float> x, VectorView<double> squared) {
  if (x.rows == 0) return;
  launch(exec, {static_cast<unsigned>(x.rows), kBlockThreads}, accumulate_row_norms_kernel, x, squared);
}

}  // namespace sotto::kernels
