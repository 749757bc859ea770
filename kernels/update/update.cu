#include "kernels/noise/draw.cuh"
#include "kernels/noise/plan.cuh"
#include "kernels/update/planned.h"

namespace sotto::kernels {
namespace {

// One thread a block of the stream: its eight normals never leave registers.
template <class Normals, bool has_momentum>
__device__ void update_sgd(const NoisePlan& noise, const SgdFactors& factors, const float* sum, float* momentum,
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
__device__ void update_adam(const NoisePlan& noise, const AdamFactors& factors, const float* sum, float* first_moment,
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

template <class Normals, bool has_momentum>
__global__ void update_sgd_kernel(NoisePlan noise, SgdFactors factors, const float* sum, float* momentum,
                                  VectorView<float> parameter) {
  update_sgd<Normals, has_momentum>(noise, factors, sum, momentum, parameter);
}

template <class Normals>
__global__ void update_adam_kernel(NoisePlan noise, AdamFactors factors, const float* sum, float* first_moment,
                                   float* second_moment, VectorView<float> parameter) {
  update_adam<Normals>(noise, factors, sum, first_moment, second_moment, parameter);
}

// All threads read the one plan, which the cache keeps.
template <class Normals, bool has_momentum>
__global__ void update_planned_sgd_kernel(const PlannedSgd* planned) {
  const PlannedSgd p = *planned;
  update_sgd<Normals, has_momentum>(p.noise, p.factors, p.sum, p.momentum, p.parameter);
}

template <class Normals>
__global__ void update_planned_adam_kernel(const PlannedAdam* planned) {
  const PlannedAdam p = *planned;
  update_adam<Normals>(p.noise, p.factors, p.sum, p.first_moment, p.second_moment, p.parameter);
}

}  // namespace

void sgd_cuda(const Exec& exec, const NoisePlan* noise, const SgdFactors& factors, const float* sum, float* momentum,
              VectorView<float> parameter) {
  if (parameter.size == 0) return;
  const auto run = [&](auto kernel) {
    launch(exec, plan_blocks(parameter.size), kernel, noise ? *noise : NoisePlan{}, factors, sum, momentum, parameter);
  };
  with_normals_of(noise ? &noise->stream.generator : nullptr, [&](auto normals) {
    momentum == nullptr ? run(update_sgd_kernel<decltype(normals), false>)
                        : run(update_sgd_kernel<decltype(normals), true>);
  });
}

void adam_cuda(const Exec& exec, const NoisePlan* noise, const AdamFactors& factors, const float* sum,
               float* first_moment, float* second_moment, VectorView<float> parameter) {
  if (parameter.size == 0) return;
  const auto run = [&](auto kernel) {
    launch(exec, plan_blocks(parameter.size), kernel, noise ? *noise : NoisePlan{}, factors, sum, first_moment,
           second_moment, parameter);
  };
  with_normals_of(noise ? &noise->stream.generator : nullptr,
                  [&](auto normals) { run(update_adam_kernel<decltype(normals)>); });
}

void apply_cuda(const Exec& exec, const UpdateLaunch& how, const PlannedSgd* planned) {
  if (how.size == 0) return;
  with_normals_of(&how.generator, [&](auto normals) {
    if (how.has_momentum)
      launch(exec, plan_blocks(how.size), update_planned_sgd_kernel<decltype(normals), true>, planned);
    else
      launch(exec, plan_blocks(how.size), update_planned_sgd_kernel<decltype(normals), false>, planned);
  });
}

void apply_cuda(const Exec& exec, const UpdateLaunch& how, const PlannedAdam* planned) {
  if (how.size == 0) return;
  with_normals_of(&how.generator, [&](auto normals) {
    launch(exec, plan_blocks(how.size), update_planned_adam_kernel<decltype(normals)>, planned);
  });
}

}  // namespace sotto::kernels
