#pragma once
#include "engine/torch.h"

namespace sotto {

// sums[k] = Σ rows[i] over the i with targets[i] = k, [count, columns]: in one order, so that the same rows give the
// same bits. CUDA's index_add_ adds in any order, and so does the CPU's accumulating index_put_.
at::Tensor row_sums(const at::Tensor& rows, const at::Tensor& targets, int64_t count);

}  // namespace sotto
