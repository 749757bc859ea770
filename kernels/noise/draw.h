#pragma once
#include "kernels/instruction_set.h"
#include "kernels/noise/gaussian_impl.h"

namespace sotto::kernels {

// normals[0 … 8 · blocks) = the stream's normals from block `first_block` on. The same bits on every instruction set.
void draw_normals(InstructionSet set, const StreamKey& stream, uint32_t first_block, int64_t blocks, float* normals);

}  // namespace sotto::kernels
