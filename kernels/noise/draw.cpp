#include "kernels/noise/draw.h"

#include <algorithm>

#include "kernels/noise/gaussian_batch.h"

namespace sotto::kernels {
namespace {

template <int lanes>
SOTTO_FORMULA void draw_by(const StreamKey& stream, uint32_t first_block, int64_t blocks, float* normals) {
  const int64_t whole = blocks / lanes * lanes;
  for (int64_t i = 0; i < whole; i += lanes)
    draw_batch<lanes>(stream, first_block + static_cast<uint32_t>(i), normals + i * kNormalsPerBlock);
  if (whole == blocks) return;
  float batch[lanes * kNormalsPerBlock];
  draw_batch<lanes>(stream, first_block + static_cast<uint32_t>(whole), batch);
  std::copy(batch, batch + (blocks - whole) * kNormalsPerBlock, normals + whole * kNormalsPerBlock);
}

SOTTO_FOR_AVX512 void draw_avx512(const StreamKey& stream, uint32_t first_block, int64_t blocks, float* normals) {
  draw_by<16>(stream, first_block, blocks, normals);
}

SOTTO_FOR_AVX2 void draw_avx2(const StreamKey& stream, uint32_t first_block, int64_t blocks, float* normals) {
  draw_by<8>(stream, first_block, blocks, normals);
}

void draw_plain(const StreamKey& stream, uint32_t first_block, int64_t blocks, float* normals) {
  draw_by<4>(stream, first_block, blocks, normals);
}

}  // namespace

void draw_normals(InstructionSet set, const StreamKey& stream, uint32_t first_block, int64_t blocks, float* normals) {
  for_set(set, draw_avx512, draw_avx2, draw_plain)(stream, first_block, blocks, normals);
}

}  // namespace sotto::kernels
