#include "cuda/launch.cuh"
#include "kernels/cuda_block.cuh"
#include "kernels/recurrent/recurrent_impl.h"

namespace sotto::kernels {
namespace {

struct DeviceMath {
  static __device__ void sigmoid(float& x) { x = 1.0f / (1.0f + expf(-x)); }
  static __device__ void tanh(float& x) { x = tanhf(x); }
};

struct FloatLane {
  template <class T>
  __device__ void load(float& v, const StepRows<T>& rows, int64_t i, int64_t column) const {
    v = rows.data[i * rows.stride + column];
  }
  __device__ void store(float v, const StepRows<float>& rows, int64_t i, int64_t column) const {
    rows.data[i * rows.stride + column] = v;
  }
};

// A thread a unit: neighbours read neighbouring columns, and a block stays within a few sequences.
template <class Step>
__device__ bool find_unit(const Step& step, int64_t& i, int64_t& unit) {
  const int64_t place = int64_t(blockIdx.x) * kBlockThreads + threadIdx.x;
  i = place / step.units, unit = place % step.units;
  return i < step.batch;
}

__global__ void cell_forward_kernel(ForwardStep step) {
  int64_t i, unit;
  if (!find_unit(step, i, unit)) return;
  forward_at<DeviceMath, float>(step, i, unit, FloatLane{});
}

__global__ void cell_backward_kernel(BackwardStep step) {
  int64_t i, unit;
  if (!find_unit(step, i, unit)) return;
  backward_at<DeviceMath, float>(step, i, unit, FloatLane{});
}

Grid plan(int64_t batch, int64_t units) {
  return {static_cast<unsigned>((batch * units + kBlockThreads - 1) / kBlockThreads), kBlockThreads};
}

}  // namespace

void cell_forward_cuda(const Exec& exec, const ForwardStep& step) {
  if (step.batch == 0 || step.units == 0) return;
  launch(exec, plan(step.batch, step.units), cell_forward_kernel, step);
}

void cell_backward_cuda(const Exec& exec, const BackwardStep& step) {
  if (step.batch == 0 || step.units == 0) return;
  launch(exec, plan(step.batch, step.units), cell_backward_kernel, step);
}

}  // namespace sotto::kernels
