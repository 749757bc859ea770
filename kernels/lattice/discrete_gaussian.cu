#include "cuda/launch.cuh"
#include "kernels/lattice/discrete_gaussian_impl.h"

namespace sotto::kernels {
namespace {

// One thread a draw. A warp goes on until its last thread has accepted.
__global__ void add_discrete_gaussian_kernel(StreamKey stream, int log2_scale, uint32_t first,
                                             VectorView<int64_t> out) {
  const int64_t j = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j >= out.size) return;
  Attempt drawn{0, 0};
  for (int attempt = 0; attempt < kDiscreteGaussianAttempts && !drawn.accepted; ++attempt) {
    uint32_t words[16];
    chacha20_block(attempt_stream(stream, attempt), first + static_cast<uint32_t>(j), words);
    drawn = attempt_discrete_gaussian<1>(words, log2_scale);
  }
  out.data[j] += drawn.value;
}

}  // namespace

void add_discrete_gaussian_cuda(const Exec& exec, const StreamKey& stream, int log2_scale, uint32_t first,
                                VectorView<int64_t> out) {
  constexpr unsigned threads = 128;
  if (out.size == 0) return;
  const auto blocks = static_cast<unsigned>((out.size + threads - 1) / threads);
  launch(exec, {blocks, threads}, add_discrete_gaussian_kernel, stream, log2_scale, first, out);
}

}  // namespace sotto::kernels
