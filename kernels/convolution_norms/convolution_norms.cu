#include "cuda/launch.cuh"
#include "kernels/convolution_norms/convolution_norms_impl.h"
#include "kernels/cuda_block.cuh"

namespace sotto::kernels {
namespace {

constexpr int kMostPlaces = 4096;

struct Group {
  const float *x, *g;  // [in, places], [out, positions]
  int64_t in, out;
};

__device__ Group group_of(const ConvolutionNorms& work, int64_t sample, int64_t group) {
  const ConvolutionShape& s = work.shape;
  const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups;
  return {work.x + (sample * s.in_channels + group * in) * s.places(),
          work.g + (sample * s.out_channels + group * out) * s.positions(), in, out};
}

// The other end of a pair, or -1 where it is outside.
__device__ int64_t shifted(const Place& at, const Place& by, const int64_t (&sizes)[3]) {
  const int64_t d = at.d + by.d, h = at.h + by.h, w = at.w + by.w;
  const bool inside = d >= 0 && d < sizes[0] && h >= 0 && h < sizes[1] && w >= 0 && w < sizes[2];
  return inside ? (d * sizes[1] + h) * sizes[2] + w : -1;
}

__device__ double dot(const float* x, int64_t channels, int64_t apart, int64_t a, int64_t b) {
  double sum = 0;
  for (int64_t c = 0; c < channels; ++c) sum += double(x[c * apart + a]) * double(x[c * apart + b]);
  return sum;
}

// Σ over the taps of what the places hold that position t meets.
__device__ double box(const ConvolutionShape& s, const double* along, int64_t t) {
  const Place y = place_of(t, s.output);
  double sum = 0;
  for (int64_t k = 0; k < s.taps(); ++k) {
    const int64_t met = place_met(s, place_of(k, s.kernel), y);
    if (met >= 0) sum += along[met];
  }
  return sum;
}

// ‖W‖² of one group in double, one thread an entry.
__device__ double direct_square(const ConvolutionShape& s, const Group& group) {
  double squares = 0;
  const int64_t taps = s.taps(), entries = group.out * group.in * taps;
  for (int64_t entry = threadIdx.x; entry < entries; entry += kBlockThreads) {
    const Place tap = place_of(entry % taps, s.kernel);
    const float* x = group.x + entry / taps % group.in * s.places();
    const float* g = group.g + entry / taps / group.in * s.positions();
    double sum = 0;
    for (int64_t t = 0; t < s.positions(); ++t) {
      const int64_t met = place_met(s, tap, place_of(t, s.output));
      if (met >= 0) sum += double(g[t]) * double(x[met]);
    }
    squares += sum * sum;
  }
  return raised(block_sum(squares), entries);
}

// One block a sample. It goes over the distances that two positions can have, each once: first ⟨x_y, x_{y + distance}⟩
// of all places, one thread a place, then the box filter and ⟨g_t, g_{t + distance}⟩, one thread a position. All in
// double: what is left of the error is bounded through the mass.
__global__ void accumulate_convolution_norms_kernel(ConvolutionNorms work) {
  __shared__ double along[kMostPlaces];
  const ConvolutionShape& s = work.shape;
  const int64_t sample = blockIdx.x, places = s.places(), positions = s.positions();
  double square = 0, mass = 0;
  for (int64_t i = 0; i < s.groups; ++i) {
    const Group group = group_of(work, sample, i);
    double sum = 0, own_mass = 0;
    const int64_t wide = 2 * s.output[2] - 1, high = 2 * s.output[1] - 1;
    // From distance 0 on: those behind it are the same pairs turned round.
    const int64_t distances = s.output[0] * high * wide, none = (s.output[1] - 1) * wide + s.output[2] - 1;
    for (int64_t distance = positions > 0 ? none : distances; distance < distances; ++distance) {
      const Place by{distance / (wide * high), distance / wide % high - (s.output[1] - 1),
                     distance % wide - (s.output[2] - 1)};
      for (int64_t y = threadIdx.x; y < places; y += kBlockThreads) {
        const int64_t other = shifted(place_of(y, s.input), by, s.input);
        along[y] = other < 0 ? 0.0 : dot(group.x, group.in, places, y, other);
      }
      __syncthreads();
      for (int64_t t = threadIdx.x; t < positions; t += kBlockThreads) {
        const int64_t other = shifted(place_of(t, s.output), by, s.output);
        if (other < 0) continue;
        const double patch = box(s, along, t), pair = dot(group.g, group.out, positions, t, other);
        if (distance == none) {
          own_mass += sqrt(raised(patch, group.in * s.taps())) * sqrt(raised(pair, group.out)) + 0 * patch + 0 * pair;
          sum += patch * pair;
        } else {
          sum += 2 * patch * pair;
        }
      }
      __syncthreads();
    }
    // What no position meets shows, too: 0 · NaN must not vanish.
    double unmet = 0;
    for (int64_t k = threadIdx.x; k < group.in * places; k += kBlockThreads) unmet += 0 * double(group.x[k]);
    own_mass = raised(block_sum(own_mass + unmet), positions);
    sum = block_sum(sum);
    const double roundings = double(group.in * s.taps() + group.out + positions * positions + 64);
    const double error = 2 * roundings * kDoubleUnit * own_mass * own_mass;
    if (own_mass > 0 && own_mass < INFINITY && !(error <= kWorstBoxError * sum))
      square += direct_square(s, group);  // its error is that of the mass below
    else if (own_mass > 0)
      square += sum + error;
    mass += own_mass;
  }
  const double of_doubles = 2 * double(positions + 8) * kDoubleUnit;  // of a direct sum, relative to the mass
  const double norm = mass > 0 && mass < INFINITY ? raised_norm(square, mass, work.rounding + of_doubles) : mass;
  if (threadIdx.x == 0) add_up(work.squared[sample], norm);
}

}  // namespace

void accumulate_convolution_norms_cuda(const Exec& exec, const ConvolutionNorms& work) {
  launch(exec, {static_cast<unsigned>(work.shape.samples), kBlockThreads}, accumulate_convolution_norms_kernel, work);
}

}  // namespace sotto::kernels
