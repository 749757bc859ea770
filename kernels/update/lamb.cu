#include "kernels/cuda_block.cuh"
#include "kernels/noise/draw.cuh"
#include "kernels/noise/plan.cuh"
#include "kernels/update/update_impl.h"

namespace sotto::kernels {
namespace {

constexpr int64_t kBlockElements = int64_t{kBlockThreads} * kNormalsPerBlock;

// One thread eight elements, whose normals never leave registers; a block leaves its squares of w and r.
template <class Normals>
__global__ void update_lamb_moments_kernel(NoisePlan noise, LambFactors factors, const float* sum, float* first_moment,
                                           float* second_moment, VectorView<float> parameter, double* squares) {
  const int64_t block = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t begin = block * kNormalsPerBlock;
  float normals[kNormalsPerBlock] = {};
  if (begin < parameter.size) Normals::draw(noise, block, normals);
  double of_parameter = 0, of_direction = 0;
#pragma unroll
  for (int i = 0; i < kNormalsPerBlock; ++i) {
    const int64_t j = begin + i;
    if (j >= parameter.size) break;
    const float w = parameter.data[j];
    const float r = lamb_moments(factors, sum[j] + noise.stddev * normals[i], first_moment[j], second_moment[j], w);
    of_parameter += double(w) * w;
    of_direction += double(r) * r;
  }
  of_parameter = block_sum(of_parameter);
  of_direction = block_sum(of_direction);
  if (threadIdx.x == 0) {
    squares[2 * int64_t(blockIdx.x)] = of_parameter;
    squares[2 * int64_t(blockIdx.x) + 1] = of_direction;
  }
}

// One block: adds up the squares in a fixed order.
__global__ void finish_lamb_rate_kernel(LambFactors factors, int64_t blocks, const double* squares, double* rate) {
  double of_parameter = 0, of_direction = 0;
  for (int64_t k = threadIdx.x; k < blocks; k += kBlockThreads) {
    of_parameter += squares[2 * k];
    of_direction += squares[2 * k + 1];
  }
  of_parameter = block_sum(of_parameter);
  of_direction = block_sum(of_direction);
  if (threadIdx.x == 0) *rate = lamb_rate(factors, of_parameter, of_direction);
}

__global__ void apply_lamb_kernel(LambFactors factors, const double* rate, const float* first_moment,
                                  const float* second_moment, VectorView<float> parameter) {
  const int64_t j = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j >= parameter.size) return;
  const float w = parameter.data[j];
  parameter.data[j] = w - float(*rate) * lamb_direction(factors, first_moment[j], second_moment[j], w);
}

}  // namespace

void lamb_cuda(const Exec& exec, const NoisePlan* noise, const LambFactors& factors, VectorView<const float> sum,
               VectorView<float> first_moment, VectorView<float> second_moment, VectorView<float> parameter,
               VectorView<double> workspace) {
  if (parameter.size == 0) return;
  const int64_t blocks = (parameter.size + kBlockElements - 1) / kBlockElements;
  double* const rate = workspace.data + workspace.size - 1;
  const Grid many = {dim3(static_cast<unsigned>(blocks)), dim3(kBlockThreads)};
  const auto moments = [&](auto kernel) {
    launch(exec, many, kernel, noise ? *noise : NoisePlan{}, factors, sum.data, first_moment.data, second_moment.data,
           parameter, workspace.data);
  };
  with_normals_of(noise ? &noise->stream.generator : nullptr,
                  [&](auto normals) { moments(update_lamb_moments_kernel<decltype(normals)>); });
  launch(exec, Grid{dim3(1), dim3(kBlockThreads)}, finish_lamb_rate_kernel, factors, blocks, workspace.data, rate);
  const int64_t groups = (parameter.size + kBlockThreads - 1) / kBlockThreads;
  launch(exec, Grid{dim3(static_cast<unsigned>(groups)), dim3(kBlockThreads)}, apply_lamb_kernel, factors, rate,
         first_moment.data, second_moment.data, parameter);
}

}  // namespace sotto::kernels
