#pragma once
#include "kernels/row_norms/row_norms.h"

namespace sotto::kernels {

void accumulate_row_norms_cuda(const Exec& exec, MatrixView<const float> x, VectorView<double> squared);
void accumulate_row_norms_cuda(const Exec& exec, MatrixView<const Bfloat16> x, VectorView<double> squared);

}  // namespace sotto::kernels
