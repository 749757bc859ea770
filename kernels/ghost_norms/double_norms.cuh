#pragma once
#include "kernels/cuda_block.cuh"
#include "kernels/ghost_norms/ghost_norms_impl.h"

// A sample's norm by a block of kBlockThreads, in double.
namespace sotto::kernels {

template <class T>
struct Sample {
  const T *a, *g;
  int64_t d, p, length;
  double bias, spare;
};

template <class T>
__device__ Sample<T> sample_of(const GhostInputOf<T>& input, int64_t i) {
  const int64_t first = input.segments.first(i);
  return {input.a.data + first * input.a.cols,
          input.g.data + first * input.g.cols,
          input.a.cols,
          input.g.cols,
          input.segments.rows(i),
          input.with_bias ? 1.0 : 0.0,
          input.spare};
}

template <class T>
__device__ double dot(const T* x, const T* y, int64_t n) {
  double sum = 0;
  for (int64_t k = 0; k < n; ++k) sum += double(to_float(x[k])) * double(to_float(y[k]));
  return sum;
}

// Σ_t ‖a_t‖‖g_t‖, raised; NaN or infinity if anything in the sample is. One thread a row.
template <class T>
__device__ double block_mass(const Sample<T>& x) {
  double mass = 0;
  for (int64_t t = threadIdx.x; t < x.length; t += kBlockThreads) {
    const double a = dot(x.a + t * x.d, x.a + t * x.d, x.d) + x.bias, g = dot(x.g + t * x.p, x.g + t * x.p, x.p);
    mass += sqrt(raised(a, x.d)) * sqrt(raised(g, x.p)) + 0 * a + 0 * g;  // 0 · ∞ must not vanish behind a zero row
  }
  return raised(block_sum(mass), x.length);
}

// One thread an entry of the gradient, in double; column d is the bias.
template <class T>
__device__ double block_direct_norm(const Sample<T>& x, double mass) {
  const int64_t columns = x.d + (x.bias > 0 ? 1 : 0);
  double squares = 0;
  for (int64_t k = threadIdx.x; k < x.p * columns; k += kBlockThreads) {
    const int64_t i = k / columns, j = k % columns;
    double entry = 0;
    for (int64_t t = 0; t < x.length; ++t)
      entry += double(to_float(x.g[t * x.p + i])) * (j < x.d ? double(to_float(x.a[t * x.d + j])) : 1.0);
    squares += entry * entry;
  }
  const double square = raised(block_sum(squares), x.p * (x.d + 1));
  return sample_norm(x.spare, square, mass, 2 * double(x.length + 8));
}

}  // namespace sotto::kernels
