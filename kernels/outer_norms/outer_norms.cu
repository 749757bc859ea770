#include "cuda/launch.cuh"
#include "kernels/cuda_block.cuh"
#include "kernels/outer_norms/outer_norms_impl.h"

namespace sotto::kernels {
namespace {

// One block a sample: its threads read neighbouring columns of the sample's two rows.
__global__ void accumulate_outer_norms_kernel(MatrixView<const float> a, MatrixView<const float> g, bool with_bias,
                                              VectorView<double> squared) {
  const int64_t i = blockIdx.x;
  const double a_squared = block_square_sum(a.data + i * a.cols, a.cols);
  const double g_squared = block_square_sum(g.data + i * g.cols, g.cols);
  if (threadIdx.x == 0) add_up(squared.data[i], outer_norm(a_squared, g_squared, with_bias, a.cols, g.cols));
}

}  // namespace

void accumulate_outer_norms_cuda(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, bool with_bias,
                                 VectorView<double> squared) {
  if (a.rows == 0) return;
  launch(exec, {static_cast<unsigned>(a.rows), kBlockThreads}, accumulate_outer_norms_kernel, a, g, with_bias, squared);
}

}  // namespace sotto::kernels
