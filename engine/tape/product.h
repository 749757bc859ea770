#pragma once
#include "engine/tape/recorder.h"

namespace sotto {

// Hands the recorder a weight's per-sample gradient Σ_t g_t a_tᵀ, in the form that the method asks for. activation is
// [batch·length, d], gradient [batch·length, p], both float32 or both bfloat16, contiguous, a sample's rows together.
void take_product(Tape::Recorder& recorder, NormMethod method, int64_t weight, const at::Tensor& activation,
                  const at::Tensor& gradient);

}  // namespace sotto
