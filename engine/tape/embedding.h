#pragma once
#include "engine/torch.h"

namespace sotto {

// The first of ids that are consecutive rows (position ids), in the order of their memory; -1 for any others.
int64_t first_of_run(const at::Tensor& ids);

}  // namespace sotto
