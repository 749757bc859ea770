#include "kernels/noise/draw.cuh"
#include "kernels/noise/plan.cuh"

namespace sotto::kernels {
namespace {

// One thread a block of the stream: its eight normals never leave registers.
template <class Normals>
__global__ void add_gaussian_kernel(NoisePlan noise, const float* sum, VectorView<float> out) {
  const int64_t block = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t begin = block * kNormalsPerBlock;
  if (begin >= out.size) return;
  float normals[kNormalsPerBlock];
  Normals::draw(noise, block, normals);
#pragma unroll
  for (int i = 0; i < kNormalsPerBlock; ++i)
    if (begin + i < out.size)
      out.data[begin + i] = sum != nullptr ? sum[begin + i] + noise.stddev * normals[i] : noise.stddev * normals[i];
}

}  // namespace

void add_gaussian_cuda(const Exec& exec, const NoisePlan& noise, const float* sum, VectorView<float> out) {
  if (out.size == 0) return;
  with_normals_of(&noise.stream.generator, [&](auto normals) {
    launch(exec, plan_blocks(out.size), add_gaussian_kernel<decltype(normals)>, noise, sum, out);
  });
}

}  // namespace sotto::kernels
