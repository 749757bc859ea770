#include "kernels/noise/plan.cuh"
#include "kernels/update/update_impl.h"

namespace sotto::kernels {
namespace {

template <bool noisy>
__device__ void draw_noise(const NoisePlan& noise, int64_t block, float (&normals)[kNormalsPerBlock]) {
  if constexpr (noisy)
    gaussian_blocks<OneLane>(noise.stream, noise.first_block + static_cast<uint32_t>(block), normals);
  else
    for (float& normal : normals) normal = 0.0f;
}

// One thread a ChaCha block: its eight normals never leave registers.
template <bool noisy, bool has_momentum>
__global__ void update_sgd_kernel(NoisePlan noise, SgdFactors factors, const float* sum, float* momentum,
                                  VectorView<float> parameter) {
  const int64_t block = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t begin = block * kNormalsPerBlock;
  if (begin >= parameter.size) return;
  float normals[kNormalsPerBlock];
  draw_noise<noisy>(noise, block, normals);
#pragma unroll
  for (int i = 0; i < kNormalsPerBlock; ++i) {
    const int64_t j = begin + i;
    if (j >= parameter.size) return;
    float velocity = has_momentum ? momentum[j] : 0.0f;
    sgd_step<has_momentum>(factors, sum[j] + noise.stddev * normals[i], velocity, parameter.data[j]);
    if (has_momentum) momentum[j] = velocity;
  }
}

// As above.
template <bool noisy>
__global__ void update_adam_kernel(NoisePlan noise, AdamFactors factors, const float* sum, float* first_moment,
                                   float* second_moment, VectorView<float> parameter) {
  const int64_t block = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t begin = block * kNormalsPerBlock;
  if (begin >= parameter.size) return;
  float normals[kNormalsPerBlock];
  draw_noise<noisy>(noise, block, normals);
#pragma unroll
  for (int i = 0; i < kNormalsPerBlock; ++i) {
    const int64_t j = begin + i;
    if (j >= parameter.size) return;
    adam_step(factors, sum[j] + noise.stddev * normals[i], first_moment[j], second_moment[j], parameter.data[j]);
  }
}

}  // namespace

void sgd_cuda(const Exec& exec, const NoisePlan* noise, const SgdFactors& factors, VectorView<const float> sum,
              VectorView<float> momentum, VectorView<float> parameter) {
  if (parameter.size == 0) return;
  const auto run = [&](auto kernel) {
    launch(exec, plan_blocks(parameter.size), kernel, noise ? *noise : NoisePlan{}, factors, sum.data, momentum.data,
           parameter);
  };
  if (momentum.size == 0) return noise ? run(update_sgd_kernel<true, false>) : run(update_sgd_kernel<false, false>);
  noise ? run(update_sgd_kernel<true, true>) : run(update_sgd_kernel<false, true>);
}

void adam_cuda(const Exec& exec, const NoisePlan* noise, const AdamFactors& factors, VectorView<const float> sum,
               VectorView<float> first_moment, VectorView<float> second_moment, VectorView<float> parameter) {
  if (parameter.size == 0) return;
  const auto run = [&](auto kernel) {
    launch(exec, plan_blocks(parameter.size), kernel, noise ? *noise : NoisePlan{}, factors, sum.data,
           first_moment.data, second_moment.data, parameter);
  };
  noise ? run(update_adam_kernel<true>) : run(update_adam_kernel<false>);
}

}  // namespace sotto::kernels
