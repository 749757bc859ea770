#pragma once
#include <ATen/ATen.h>

#include "cuda/exec.h"

namespace sotto {

// Where a run computes: its kernels on `exec`, LibTorch's operators on `device` with the same threads or stream.
struct Site {
  Exec exec;
  at::Device device;

  // Standard normals and ids in [0, below): the same numbers for the same seed, on every device.
  at::Tensor normals(at::IntArrayRef sizes, uint64_t seed) const;
  at::Tensor ids(at::IntArrayRef sizes, int64_t below, uint64_t seed) const;
  at::Tensor zeros(at::IntArrayRef sizes, at::ScalarType type = at::kFloat) const;
};

// Sets LibTorch's threads. On CUDA it loads LibTorch's GPU library (docs/decisions/001), takes device 0 and its current
// stream, and turns TF32 off, whose ten bits no rounding bound here allows for; throws cuda where there is no device.
Site open_site(bool on_cuda, int threads);

}  // namespace sotto
