#include "kernels/noise/draw.h"

#include <algorithm>

#include "kernels/noise/gaussian_batch.h"

namespace sotto::kernels {
namespace {

template <Generator generator, int lanes>
SOTTO_FORMULA void draw_by(const StreamKey& stream, uint32_t first_block, int64_t blocks, float* normals) {
  const int64_t whole = blocks / lanes * lanes;
  for (int64_t i = 0; i < whole; i += lanes)
    draw_batch<generator, lanes>(stream, first_block + static_cast<uint32_t>(i), normals + i * kNormalsPerBlock);
  if (whole == blocks) return;
  float batch[lanes * kNormalsPerBlock];
  draw_batch<generator, lanes>(stream, first_block + static_cast<uint32_t>(whole), batch);
  std::copy(batch, batch + (blocks - whole) * kNormalsPerBlock, normals + whole * kNormalsPerBlock);
}

template <Generator generator>
SOTTO_FOR_AVX512 void draw_avx512(const StreamKey& stream, uint32_t first_block, int64_t blocks, float* normals) {
  draw_by<generator, 16>(stream, first_block, blocks, normals);
}

template <Generator generator>
SOTTO_FOR_AVX2 void draw_avx2(const StreamKey& stream, uint32_t first_block, int64_t blocks, float* normals) {
  draw_by<generator, 8>(stream, first_block, blocks, normals);
}

template <Generator generator>
void draw_plain(const StreamKey& stream, uint32_t first_block, int64_t blocks, float* normals) {
  draw_by<generator, 4>(stream, first_block, blocks, normals);
}

template <Generator generator>
DrawNormals* draw_normals_on(InstructionSet set) {
  return for_set(set, draw_avx512<generator>, draw_avx2<generator>, draw_plain<generator>);
}

}  // namespace

DrawNormals* draw_normals_by(InstructionSet set, Generator generator) {
  return generator == Generator::philox ? draw_normals_on<Generator::philox>(set)
                                        : draw_normals_on<Generator::chacha20>(set);
}

}  // namespace sotto::kernels
