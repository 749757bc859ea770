#pragma once
#include "kernels/noise/noise_impl.h"

namespace sotto::kernels {

// use(begin, count, stddev, normals) on chunks that cover [0, size); without noise the normals are zeros.
template <class Use>
void with_noise_or_none(const Exec& exec, const NoisePlan* noise, int64_t size, const Use& use) {
  if (noise != nullptr) {
    with_normals(exec, *noise, size, [&](int64_t begin, int64_t count, const float* normals) {
      use(begin, count, noise->stddev, normals);
    });
    return;
  }
  static constexpr float kZeros[kChunk] = {};
  parallel_for(exec.threads(), (size + kChunk - 1) / kChunk, kChunksPerThread, [&](int64_t begin, int64_t end) {
    for (int64_t start = begin * kChunk; start < end * kChunk && start < size; start += kChunk)
      use(start, size - start < kChunk ? size - start : kChunk, 0.0f, static_cast<const float*>(kZeros));
  });
}

}  // namespace sotto::kernels
