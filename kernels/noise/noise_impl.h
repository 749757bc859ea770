#pragma once
#include "base/parallel.h"
#include "kernels/noise/draw.h"
#include "kernels/noise/noise.h"

namespace sotto::kernels {

// What a kernel needs to know of its noise.
struct NoisePlan {
  StreamKey stream;
  float stddev;  // rounded up: never less noise than was accounted for
  uint32_t first_block;
};

// Throws invalid_argument unless the noise is real noise and lies inside its stream.
NoisePlan plan_noise(const StreamKey& stream, double stddev, int64_t first, int64_t size);

// 4 KiB of normals and the data they are for stay in the first-level cache; a multiple of every batch.
inline constexpr int64_t kChunk = 1024;
inline constexpr int64_t kChunksPerThread = 4;  // fewer elements than 4096 cost less than waking a thread

// Calls use(begin, count, normals) for chunks that cover [0, size), each with the chunk's normals. The cut never shows:
// a chunk starts at a block, and a normal depends on its position alone.
template <class Use>
void with_normals(const Exec& exec, const NoisePlan& noise, int64_t size, const Use& use) {
  DrawNormals* const draw = draw_normals_by(best_instruction_set(), noise.stream.generator);
  parallel_for(exec.threads(), (size + kChunk - 1) / kChunk, kChunksPerThread, [&](int64_t begin, int64_t end) {
    alignas(64) float normals[kChunk];
    for (int64_t start = begin * kChunk; start < end * kChunk && start < size; start += kChunk) {
      const int64_t count = size - start < kChunk ? size - start : kChunk;
      const uint32_t block = noise.first_block + static_cast<uint32_t>(start / kNormalsPerBlock);
      draw(noise.stream, block, (count + kNormalsPerBlock - 1) / kNormalsPerBlock, normals);
      use(start, count, static_cast<const float*>(normals));
    }
  });
}

// `sum` may be null: it is then zero.
void add_gaussian_cuda(const Exec& exec, const NoisePlan& noise, const float* sum, VectorView<float> out);

}  // namespace sotto::kernels
