#pragma once
#include "kernels/noise/gaussian_impl.h"

namespace sotto::kernels {

enum class InstructionSet { plain, avx2, avx512 };

// The widest that this machine has.
InstructionSet best_instruction_set();

// normals[0 … 8 · blocks) = the stream's normals from block `first_block` on. The same bits on every instruction set.
void draw_normals(InstructionSet set, const StreamKey& stream, uint32_t first_block, int64_t blocks, float* normals);

}  // namespace sotto::kernels
