#pragma once
#include "kernels/sample_gradients/sample_gradients.h"
#include "kernels/vectors.h"

namespace sotto::kernels {

void sample_gradients_cpu(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                          MatrixView<float> rows, Vectors which = Vectors::widest);

}  // namespace sotto::kernels
