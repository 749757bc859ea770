#include "cuda/launch.cuh"
#include "kernels/ghost_norms/double_norms.cuh"

namespace sotto::kernels {
namespace {

// One block a sample, one thread a pair of rows s ≥ t. Dot products in double: what is left of their error is bounded
// through the mass, and a sample that cancels takes the direct way in the same block.
template <class T>
__global__ void accumulate_ghost_norms_kernel(GhostInputOf<T> input, VectorView<double> squared) {
  const Sample<T> x = sample_of(input, blockIdx.x);
  const double mass = block_mass(x);
  double sum = 0;
  for (int64_t k = threadIdx.x; k < x.length * x.length; k += kBlockThreads) {
    const int64_t s = k / x.length, t = k % x.length;
    if (t > s) continue;
    const double pair = (dot(x.a + s * x.d, x.a + t * x.d, x.d) + x.bias) * dot(x.g + s * x.p, x.g + t * x.p, x.p);
    sum += s == t ? pair : 2 * pair;
  }
  const double square = block_sum(sum);
  const double error = 2 * double(x.d + x.p + x.length * x.length + 64) * kDoubleUnit * mass * mass;
  double norm = mass;  // 0, NaN or infinity as it is
  if (mass > 0 && mass < INFINITY)
    norm = error <= kWorstRelativeError * square ? sample_norm(x.spare, square + error, mass, 0)
                                                 : block_direct_norm(x, mass);
  if (threadIdx.x == 0) add_up(squared.data[blockIdx.x], norm);
}

template <class T>
__global__ void accumulate_direct_norms_kernel(GhostInputOf<T> input, VectorView<double> squared) {
  const Sample<T> x = sample_of(input, blockIdx.x);
  const double mass = block_mass(x);
  const double norm = mass > 0 && mass < INFINITY ? block_direct_norm(x, mass) : mass;
  if (threadIdx.x == 0) add_up(squared.data[blockIdx.x], norm);
}

template <class T>
void launch_norms(const Exec& exec, void (*kernel)(GhostInputOf<T>, VectorView<double>), const GhostInputOf<T>& input,
                  VectorView<double> squared) {
  if (squared.size == 0) return;
  launch(exec, {static_cast<unsigned>(squared.size), kBlockThreads}, kernel, input, squared);
}

}  // namespace

void accumulate_ghost_norms_cuda(const Exec& exec, const GhostInput& input, VectorView<double> squared) {
  launch_norms(exec, accumulate_ghost_norms_kernel<float>, input, squared);
}
void accumulate_ghost_norms_cuda(const Exec& exec, const Bfloat16GhostInput& input, VectorView<double> squared) {
  launch_norms(exec, accumulate_ghost_norms_kernel<Bfloat16>, input, squared);
}
void accumulate_direct_norms_cuda(const Exec& exec, const GhostInput& input, VectorView<double> squared) {
  launch_norms(exec, accumulate_direct_norms_kernel<float>, input, squared);
}
void accumulate_direct_norms_cuda(const Exec& exec, const Bfloat16GhostInput& input, VectorView<double> squared) {
  launch_norms(exec, accumulate_direct_norms_kernel<Bfloat16>, input, squared);
}

}  // namespace sotto::kernels
