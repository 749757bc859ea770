#pragma once
#include <cstdint>
#include <cstring>

#include "base/instruction_set.h"

namespace sotto::kernels {

// Sixteen floats and eight doubles: one register of AVX-512. What is wider than a register goes through memory at every
// use: sums belong into the vectors of lanes.h.
typedef float Float16 __attribute__((vector_size(64)));
typedef float Float8 __attribute__((vector_size(32)));
typedef float Float4 __attribute__((vector_size(16)));
typedef double Double8 __attribute__((vector_size(64)));
typedef double Double4 __attribute__((vector_size(32)));
typedef float Float16Unaligned __attribute__((vector_size(64), aligned(4), may_alias));
typedef float Float8Unaligned __attribute__((vector_size(32), aligned(4), may_alias));
typedef float Float4Unaligned __attribute__((vector_size(16), aligned(4), may_alias));
typedef double Double8Unaligned __attribute__((vector_size(64), aligned(8), may_alias));
typedef double Double4Unaligned __attribute__((vector_size(32), aligned(8), may_alias));

}  // namespace sotto::kernels
