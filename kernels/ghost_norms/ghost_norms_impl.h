#pragma once
#include <cmath>

#include "kernels/ghost_norms/ghost_norms.h"
#include "kernels/rounding.h"

namespace sotto::kernels {

// What a sample adds, from an upper bound on ‖Σ g aᵀ‖² and mass ≥ Σ ‖g_t‖‖a_t‖. `spare` is what the clipped sum may
// round, `roundings` are those of doubles on the way to the bound, both relative to the mass.
SOTTO_HOST_DEVICE inline double sample_norm(double spare, double bound, double mass, double roundings) {
  const double norm = sqrt(bound) + (spare + roundings * kDoubleUnit) * mass;
  return norm * norm * (1 + 64 * kDoubleUnit);
}

// The two ways of one operation: whether a Gram sum is good enough.
constexpr double kWorstRelativeError = 1e-3;
constexpr double kWorstFloatError = 2.4e-4;  // of a norm from a gradient in floats: both ways, in its square

template <class T>
struct GhostInputOf {
  MatrixView<const T> a, g;
  Segments segments;
  bool with_bias;
  double spare;  // of the clipped sum: kSampleRounding or kTensorSampleRounding
};
using GhostInput = GhostInputOf<float>;
using Bfloat16GhostInput = GhostInputOf<Bfloat16>;

// Samples [begin, end); `direct` says which way.
void add_ghost_norms_cpu(const GhostInput& input, double* squared, int64_t begin, int64_t end);
void add_direct_norms_cpu(const GhostInput& input, double* squared, int64_t begin, int64_t end);
void add_bfloat16_ghost_norms_cpu(const Bfloat16GhostInput& input, double* squared, int64_t begin, int64_t end);
void add_bfloat16_direct_norms_cpu(const Bfloat16GhostInput& input, double* squared, int64_t begin, int64_t end);
// One sample's ‖Σ g aᵀ‖² + Σ‖g‖² (bias), in double; its error is at most (rows + 4)·2^-53 · mass before squaring.
double direct_square_cpu(const GhostInput& input, int64_t sample);
// What a sample adds by its gradient in floats, with a bound on their error; -1 where that is not good enough.
double float_direct_norm_cpu(const GhostInput& input, int64_t sample, double mass);
void accumulate_ghost_norms_cuda(const Exec& exec, const GhostInput& input, VectorView<double> squared);
void accumulate_ghost_norms_cuda(const Exec& exec, const Bfloat16GhostInput& input, VectorView<double> squared);
void accumulate_direct_norms_cuda(const Exec& exec, const GhostInput& input, VectorView<double> squared);
void accumulate_direct_norms_cuda(const Exec& exec, const Bfloat16GhostInput& input, VectorView<double> squared);

}  // namespace sotto::kernels
