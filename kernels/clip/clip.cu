#include "cuda/launch.cuh"
#include "kernels/clip/clip_impl.h"

namespace sotto::kernels {
namespace {

// One thread a sample.
__global__ void clip_factors_kernel(VectorView<const double> squared, ClipFunction function, double clip_norm,
                                    VectorView<float> factors) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= squared.size) return;
  factors.data[i] = clip_factor(squared.data[i], function, clip_norm);
}

}  // namespace

void clip_factors_cuda(const Exec& exec, VectorView<const double> squared, const ClipFunction& function,
                       double clip_norm, VectorView<float> factors) {
  constexpr unsigned threads = 256;
  if (squared.size == 0) return;
  const unsigned blocks = static_cast<unsigned>((squared.size + threads - 1) / threads);
  launch(exec, {blocks, threads}, clip_factors_kernel, squared, function, clip_norm, factors);
}

}  // namespace sotto::kernels
