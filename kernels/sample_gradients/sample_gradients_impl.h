#pragma once
#include "base/instruction_set.h"
#include "kernels/rounding.h"
#include "kernels/sample_gradients/sample_gradients.h"

namespace sotto::kernels {

void sample_gradients_cpu(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                          MatrixView<float> rows, InstructionSet set = best_instruction_set());
void sample_gradients_cpu(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                          MatrixView<Bfloat16> rows, InstructionSet set = best_instruction_set());

void sample_gradients_cuda(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                           MatrixView<float> rows);
void sample_gradients_cuda(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                           MatrixView<Bfloat16> rows);

}  // namespace sotto::kernels
