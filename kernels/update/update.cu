#include "kernels/noise/draw.cuh"
#include "kernels/noise/plan.cuh"
#include "kernels/update/update_impl.h"

namespace sotto::kernels {
namespace {

// One thread a block of the stream: its eight normals never leave registers.
template <class Normals, bool has_momentum>
__global__ void update_sgd_kernel(NoisePlan noise, SgdFactors factors, const float* sum, float* momentum,
                                  VectorView<float> parameter) {
  const int64_t block = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t begin = block * kNormalsPerBlock;
  if (begin >= parameter.size) return;
  float normals[kNormalsPerBlock];
  Normals::draw(noise, block, normals);
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
template <class Normals>
__global__ void update_adam_kernel(NoisePlan noise, AdamFactors factors, const float* sum, float* first_moment,
                                   float* second_moment, VectorView<float> parameter) {
  const int64_t block = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t begin = block * kNormalsPerBlock;
  if (begin >= parameter.size) return;
  float normals[kNormalsPerBlock];
  Normals::draw(noise, block, normals);
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
  with_normals_of(noise, [&](auto normals) {
    momentum.size == 0 ? run(update_sgd_kernel<decltype(normals), false>)
                       : run(update_sgd_kernel<decltype(normals), true>);
  });
}

void adam_cuda(const Exec& exec, const NoisePlan* noise, const AdamFactors& factors, VectorView<const float> sum,
               VectorView<float> first_moment, VectorView<float> second_moment, VectorView<float> parameter) {
  if (parameter.size == 0) return;
  const auto run = [&](auto kernel) {
    launch(exec, plan_blocks(parameter.size), kernel, noise ? *noise : NoisePlan{}, factors, sum.data,
           first_moment.data, second_moment.data, parameter);
  };
  with_normals_of(noise, [&](auto normals) { run(update_adam_kernel<decltype(normals)>); });
}

}  // namespace sotto::kernels
