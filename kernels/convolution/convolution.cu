#include "cuda/launch.cuh"
#include "kernels/convolution/convolution_impl.h"
#include "kernels/cuda_block.cuh"

namespace sotto::kernels {
namespace {

constexpr int kSide = 64;   // output channels and (c, k) of a tile
constexpr int kDepth = 16;  // positions in shared memory at a time
constexpr int kPart = 4;    // a thread makes kPart x kPart entries

__host__ __device__ int64_t tiles(int64_t n) {
  return (n + kSide - 1) / kSide;
}

// What a thread fetches of x: always the same (c, k), for one position after another.
struct Column {
  const float* channel;  // null past the edge
  Place tap;
};

__device__ Column column_of(const ConvolutionShape& s, const float* x, int64_t group, int64_t k) {
  const int64_t in = s.in_channels / s.groups, taps = s.taps();
  if (k >= in * taps) return {nullptr, {}};
  return {x + (group * in + k / taps) * s.places(), place_of(k % taps, s.kernel)};
}

// One block a tile of 64 output channels x 64 (c, k) of one sample's gradient. It passes over the positions by
// sixteens: threads next to each other fetch positions next to each other. Each entry is summed by one thread, in
// chains of kConvolutionChain, so the result does not depend on what else runs.
__global__ void convolution_gradients_kernel(ConvolutionGradients work) {
  const ConvolutionShape& s = work.shape;
  const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups, columns = in * s.taps();
  const int64_t k_tiles = tiles(columns), o_tiles = tiles(out), positions = s.positions();
  int64_t block = blockIdx.x;
  const int64_t k_first = block % k_tiles * kSide;
  block /= k_tiles;
  const int64_t o_first = block % o_tiles * kSide;
  block /= o_tiles;
  const int64_t group = block % s.groups, sample = block / s.groups;

  __shared__ float xs[kDepth][kSide + 1], gs[kDepth][kSide + 1];
  const int fetch_t = threadIdx.x % kDepth, fetch_k = threadIdx.x / kDepth;  // and every 16th k after it
  const int tile_k = threadIdx.x % (kSide / kPart), tile_o = threadIdx.x / (kSide / kPart);
  Column fetched[kPart];
  for (int j = 0; j < kPart; ++j)
    fetched[j] = column_of(s, work.x + sample * s.in_channels * s.places(), group, k_first + fetch_k + 16 * j);
  const float* g = work.g + (sample * s.out_channels + group * out + o_first) * positions;

  float totals[kPart][kPart] = {}, chains[kPart][kPart] = {};
  for (int64_t first = 0; first < positions; first += kDepth) {
    const int64_t t = first + fetch_t;
    const Place y = place_of(t, s.output);
    for (int j = 0; j < kPart; ++j) {
      const int k = fetch_k + 16 * j;
      const int64_t met = t < positions && fetched[j].channel ? place_met(s, fetched[j].tap, y) : -1;
      xs[fetch_t][k] = met < 0 ? 0.0f : fetched[j].channel[met];
      gs[fetch_t][k] = t < positions && o_first + k < out ? g[k * positions + t] : 0.0f;
    }
    __syncthreads();
    for (int depth = 0; depth < kDepth; ++depth)
      for (int a = 0; a < kPart; ++a)
        for (int b = 0; b < kPart; ++b) chains[a][b] += gs[depth][tile_o + 16 * a] * xs[depth][tile_k + 16 * b];
    __syncthreads();
    if ((first / kDepth + 1) % (kConvolutionChain / kDepth) != 0) continue;
    for (int a = 0; a < kPart; ++a)
      for (int b = 0; b < kPart; ++b) totals[a][b] += chains[a][b], chains[a][b] = 0;
  }
  for (int a = 0; a < kPart; ++a)
    for (int b = 0; b < kPart; ++b) {
      const int64_t o = o_first + tile_o + 16 * a, k = k_first + tile_k + 16 * b;
      if (o >= out || k >= columns) continue;
      const int64_t entry = sample * s.elements() + (group * out + o) * columns + k;
      const float total = totals[a][b] + chains[a][b];
      if (work.rounded_rows)
        work.rounded_rows[entry] = to_bfloat16(total);
      else
        work.weight_rows[entry] = total;
    }
}

// One block an output channel of a sample.
__global__ void convolution_bias_kernel(ConvolutionGradients work) {
  const int64_t positions = work.shape.positions();
  const float* g = work.g + int64_t(blockIdx.x) * positions;
  double sum = 0;
  for (int64_t t = threadIdx.x; t < positions; t += kBlockThreads) sum += double(g[t]);
  sum = block_sum(sum);
  if (threadIdx.x == 0) work.bias_rows[blockIdx.x] = float(sum);
}

}  // namespace

void convolution_gradients_cuda(const Exec& exec, const ConvolutionGradients& work) {
  const ConvolutionShape& s = work.shape;
  const int64_t blocks =
      s.samples * s.groups * tiles(s.out_channels / s.groups) * tiles(s.in_channels / s.groups * s.taps());
  if (blocks > 0) launch(exec, {static_cast<unsigned>(blocks), kBlockThreads}, convolution_gradients_kernel, work);
  if (work.bias_rows)
    launch(exec, {static_cast<unsigned>(s.samples * s.out_channels), kBlockThreads}, convolution_bias_kernel, work);
}

}  // namespace sotto::kernels
