#pragma once
#include <cmath>

#include "base/instruction_set.h"
#include "kernels/convolution/convolution_impl.h"
#include "kernels/convolution_norms/convolution_norms.h"

namespace sotto::kernels {

// Beyond this relative error a sum of Gram entries is not good enough.
constexpr double kWorstBoxError = 1e-3;

struct ConvolutionNorms {
  ConvolutionShape shape;
  const float *x, *g;
  double* squared;
  double rounding;  // convolution_rounding(positions)
};

// What a sample adds, from an upper bound on ‖W‖² and mass ≥ Σ ‖g_t‖‖u_t‖.
SOTTO_HOST_DEVICE inline double raised_norm(double bound, double mass, double rounding) {
  const double norm = sqrt(bound) + rounding * mass;
  return norm * norm * (1 + 64 * kDoubleUnit);
}

// Samples [begin, end).
void add_convolution_norms_cpu(const ConvolutionNorms& work, int64_t begin, int64_t end,
                               InstructionSet set = best_instruction_set());
void accumulate_convolution_norms_cuda(const Exec& exec, const ConvolutionNorms& work);

}  // namespace sotto::kernels
