#pragma once
#include "kernels/estimated_norms/estimated_norms.h"

namespace sotto::kernels {

struct EstimateInput {
  MatrixView<const float> a, g;
  int64_t length;
  MatrixView<const float> probes;
};

void estimate_product_norms_cuda(const Exec& exec, const EstimateInput& input, VectorView<double> estimates);

}  // namespace sotto::kernels
