#pragma once
#include "base/random_key.h"
#include "kernels/noise/draw.h"

namespace sotto::kernels {

// values[0 … count) = the stream's draws from number `first` on, count ≤ 1024. The same bits on every instruction set.
void draw_discrete_gaussian(InstructionSet set, const StreamKey& stream, int log2_scale, uint32_t first, int64_t count,
                            int64_t* values);

}  // namespace sotto::kernels
