#pragma once
#include "kernels/group_norm/group_norm.h"
#include "kernels/rounding.h"

namespace sotto::kernels {

struct GroupNormArguments {
  int64_t samples, groups, channels, positions;  // channels of one group
  const float *x, *g, *mean, *rstd, *gamma;
  float *input, *scale, *shift;
};

// What the gradient of a normalised value needs beside its own g: input = rstd (γg − shift − (x − mean) · slope).
struct NormTerms {
  float mean, rstd, shift, slope;
};

SOTTO_HOST_DEVICE inline NormTerms norm_terms(float mean, float rstd, double sum, double sum_x, int64_t n) {
  return {mean, rstd, static_cast<float>(sum / double(n)), static_cast<float>(sum_x * rstd / double(n))};
}

SOTTO_HOST_DEVICE inline float norm_input_gradient(const NormTerms& terms, float gamma_g, float x) {
  return terms.rstd * (gamma_g - terms.shift - (x - terms.mean) * terms.slope);
}

void group_norm_backward_cuda(const Exec& exec, const GroupNormArguments& arguments);

}  // namespace sotto::kernels
