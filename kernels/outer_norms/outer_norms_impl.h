#pragma once
#include "kernels/outer_norms/outer_norms.h"
#include "kernels/rounding.h"

namespace sotto::kernels {

// From the computed ‖a‖² and ‖g‖². 0 · ∞ is NaN, which is what a sample with an infinite activation must become.
SOTTO_HOST_DEVICE inline double outer_norm(double a_squared, double g_squared, bool with_bias, int64_t d, int64_t p) {
  return raised(g_squared * (a_squared + (with_bias ? 1 : 0)), d + p);
}

void accumulate_outer_norms_cuda(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, bool with_bias,
                                 VectorView<double> squared);

}  // namespace sotto::kernels
