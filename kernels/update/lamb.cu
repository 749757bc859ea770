#include "kernels/cuda_block.cuh"
#include "kernels/noise/draw.cuh"
#include "kernels/noise/plan.cuh"
#include "kernels/update/planned.h"

namespace sotto::kernels {
namespace {

constexpr int64_t kBlockElements = int64_t{kBlockThreads} * kNormalsPerBlock;

int64_t moment_blocks(int64_t size) {
  return (size + kBlockElements - 1) / kBlockElements;
}

__device__ double* rate_of(const PlannedLamb& p) {
  return p.workspace.data + p.workspace.size - 1;
}

// One thread eight elements, whose normals never leave registers; a block leaves its squares of w and r.
template <class Normals>
__device__ void update_moments(const PlannedLamb& p) {
  const int64_t block = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t begin = block * kNormalsPerBlock;
  float normals[kNormalsPerBlock] = {};
  if (begin < p.parameter.size) Normals::draw(p.noise, block, normals);
  double of_parameter = 0, of_direction = 0;
#pragma unroll
  for (int i = 0; i < kNormalsPerBlock; ++i) {
    const int64_t j = begin + i;
    if (j >= p.parameter.size) break;
    const float w = p.parameter.data[j], noised = p.sum[j] + p.noise.stddev * normals[i];
    const float r = lamb_moments(p.factors, noised, p.first_moment[j], p.second_moment[j], w);
    of_parameter += double(w) * w;
    of_direction += double(r) * r;
  }
  of_parameter = block_sum(of_parameter);
  of_direction = block_sum(of_direction);
  if (threadIdx.x == 0) {
    p.workspace.data[2 * int64_t(blockIdx.x)] = of_parameter;
    p.workspace.data[2 * int64_t(blockIdx.x) + 1] = of_direction;
  }
}

// One block: adds up the squares in a fixed order.
__device__ void finish_rate(const PlannedLamb& p) {
  const int64_t blocks = (p.parameter.size + kBlockElements - 1) / kBlockElements;
  double of_parameter = 0, of_direction = 0;
  for (int64_t k = threadIdx.x; k < blocks; k += kBlockThreads) {
    of_parameter += p.workspace.data[2 * k];
    of_direction += p.workspace.data[2 * k + 1];
  }
  of_parameter = block_sum(of_parameter);
  of_direction = block_sum(of_direction);
  if (threadIdx.x == 0) *rate_of(p) = lamb_rate(p.factors, of_parameter, of_direction);
}

__device__ void apply_rate(const PlannedLamb& p) {
  const int64_t j = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j >= p.parameter.size) return;
  const float w = p.parameter.data[j];
  const float r = lamb_direction(p.factors, p.first_moment[j], p.second_moment[j], w);
  p.parameter.data[j] = w - float(*rate_of(p)) * r;
}

// Each of the three takes its plan by value, or by pointer where that is recorded and the plan is the step's.
template <class Normals>
__global__ void update_lamb_moments_kernel(PlannedLamb p) {
  update_moments<Normals>(p);
}
template <class Normals>
__global__ void update_planned_lamb_moments_kernel(const PlannedLamb* planned) {
  const PlannedLamb p = *planned;
  update_moments<Normals>(p);
}
__global__ void finish_lamb_rate_kernel(PlannedLamb p) {
  finish_rate(p);
}
__global__ void finish_planned_lamb_rate_kernel(const PlannedLamb* planned) {
  const PlannedLamb p = *planned;
  finish_rate(p);
}
__global__ void apply_lamb_kernel(PlannedLamb p) {
  apply_rate(p);
}
__global__ void apply_planned_lamb_kernel(const PlannedLamb* planned) {
  const PlannedLamb p = *planned;
  apply_rate(p);
}

// The three in turn, for a parameter of `size`.
template <class Plan, class Moments, class Finish, class Apply>
void run_three(const Exec& exec, int64_t size, const Plan& plan, Moments moments, Finish finish, Apply apply) {
  const int64_t groups = (size + kBlockThreads - 1) / kBlockThreads;
  launch(exec, Grid{dim3(static_cast<unsigned>(moment_blocks(size))), dim3(kBlockThreads)}, moments, plan);
  launch(exec, Grid{dim3(1), dim3(kBlockThreads)}, finish, plan);
  launch(exec, Grid{dim3(static_cast<unsigned>(groups)), dim3(kBlockThreads)}, apply, plan);
}

}  // namespace

void lamb_cuda(const Exec& exec, const NoisePlan* noise, const PlannedLamb& planned) {
  if (planned.parameter.size == 0) return;
  PlannedLamb p = planned;
  p.noise = noise ? *noise : NoisePlan{};
  with_normals_of(noise ? &noise->stream.generator : nullptr, [&](auto normals) {
    run_three(exec, p.parameter.size, p, update_lamb_moments_kernel<decltype(normals)>, finish_lamb_rate_kernel,
              apply_lamb_kernel);
  });
}

void apply_cuda(const Exec& exec, const UpdateLaunch& how, const PlannedLamb* planned) {
  if (how.size == 0) return;
  with_normals_of(&how.generator, [&](auto normals) {
    run_three(exec, how.size, planned, update_planned_lamb_moments_kernel<decltype(normals)>,
              finish_planned_lamb_rate_kernel, apply_planned_lamb_kernel);
  });
}

}  // namespace sotto::kernels
