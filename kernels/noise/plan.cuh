#pragma once
#include "cuda/launch.cuh"
#include "kernels/noise/gaussian_impl.h"

namespace sotto::kernels {

// One thread a block of eight elements.
inline Grid plan_blocks(int64_t elements) {
  constexpr unsigned threads = 256;
  const int64_t per_group = int64_t{threads} * kNormalsPerBlock;
  return {dim3(static_cast<unsigned>((elements + per_group - 1) / per_group)), dim3(threads)};
}

}  // namespace sotto::kernels
