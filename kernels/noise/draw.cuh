#pragma once
#include "kernels/noise/noise_impl.h"

namespace sotto::kernels {

// What a thread's eight normals are made of, chosen once a launch.
template <Generator generator>
struct NormalsOf {
  static __device__ void draw(const NoisePlan& noise, int64_t block, float (&normals)[kNormalsPerBlock]) {
    gaussian_blocks<generator, OneLane>(noise.stream, noise.first_block + static_cast<uint32_t>(block), normals);
  }
};
struct NoNormals {
  static __device__ void draw(const NoisePlan&, int64_t, float (&normals)[kNormalsPerBlock]) {
    for (float& normal : normals) normal = 0.0f;
  }
};

// run(NormalsOf<…>{}) for the noise's generator; without noise, run(NoNormals{}).
template <class Run>
void with_normals_of(const Generator* generator, const Run& run) {
  if (generator == nullptr) return run(NoNormals{});
  if (*generator == Generator::philox) return run(NormalsOf<Generator::philox>{});
  run(NormalsOf<Generator::chacha20>{});
}

}  // namespace sotto::kernels
