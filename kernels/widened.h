#pragma once
#include <vector>

#include "base/view.h"
#include "kernels/bfloat16.h"

namespace sotto::kernels {

// The rows [first, first + rows) of x as floats, in `room`, which grows where it must.
MatrixView<const float> widened(MatrixView<const Bfloat16> x, int64_t first, int64_t rows, std::vector<float>& room);

}  // namespace sotto::kernels
