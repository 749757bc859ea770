#pragma once
#include "base/instruction_set.h"
#include "kernels/noise/gaussian_impl.h"

namespace sotto::kernels {

// normals[0 … 8 · blocks) = the stream's normals from block `first_block` on.
using DrawNormals = void(const StreamKey& stream, uint32_t first_block, int64_t blocks, float* normals);

// The code for streams of this generator: the same bits on every instruction set.
DrawNormals* draw_normals_by(InstructionSet set, Generator generator);

}  // namespace sotto::kernels
