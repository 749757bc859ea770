#pragma once
#include "kernels/group_norm/group_norm_impl.h"
#include "kernels/layer_norm/layer_norm.h"

namespace sotto::kernels {

struct LayerNormArguments {
  SampleRows rows;
  int64_t columns;
  const float *x, *g, *mean, *rstd, *gamma;
  float *input, *scale, *shift;
};

SOTTO_HOST_DEVICE inline int64_t row_of(const SampleRows& rows, int64_t sample, int64_t t) {
  return sample * rows.sample_stride + t * rows.row_stride;
}

void layer_norm_backward_cuda(const Exec& exec, const LayerNormArguments& arguments);

}  // namespace sotto::kernels
