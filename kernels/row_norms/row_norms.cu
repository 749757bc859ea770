#include "cuda/launch.cuh"
#include "kernels/cuda_block.cuh"
#include "kernels/rounding.h"
#include "kernels/row_norms/row_norms_impl.h"

namespace sotto::kernels {
namespace {

// One block a row: its threads read neighbouring columns.
template <class T>
__global__ void accumulate_row_norms_kernel(MatrixView<const T> x, VectorView<double> squared) {
  const int64_t i = blockIdx.x;
  const double sum = block_square_sum(x.data + i * x.cols, x.cols);
  if (threadIdx.x == 0) add_up(squared.data[i], raised(sum, x.cols));
}

template <class T>
void launch_norms(const Exec& exec, MatrixView<const T> x, VectorView<double> squared) {
  if (x.rows == 0) return;
  launch(exec, {static_cast<unsigned>(x.rows), kBlockThreads}, accumulate_row_norms_kernel<T>, x, squared);
}

}  // namespace

void accumulate_row_norms_cuda(const Exec& exec, MatrixView<const float> x, VectorView<double> squared) {
  launch_norms(exec, x, squared);
}

void accumulate_row_norms_cuda(const Exec& exec, MatrixView<const Bfloat16> x, VectorView<double> squared) {
  launch_norms(exec, x, squared);
}

}  // namespace sotto::kernels
