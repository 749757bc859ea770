#pragma once
#include <ATen/ATen.h>

#include <memory>
#include <optional>

#include "cuda/stream.h"

namespace sotto {

// Where a run computes: its kernels on `exec`, LibTorch's operators on `device` with the same threads or stream.
struct Site {
  Exec exec;
  at::Device device;
  std::shared_ptr<const Stream> second = nullptr;  // of a GPU, where two are wanted

  // Where norms are measured while the backward pass goes on: on the second stream, or between the pass's own work. On
  // the CPU nowhere: its threads are busy with the pass.
  std::optional<Exec> beside() const;

  // Standard normals and ids in [0, below): the same numbers for the same seed, on every device.
  at::Tensor normals(at::IntArrayRef sizes, uint64_t seed) const;
  at::Tensor ids(at::IntArrayRef sizes, int64_t below, uint64_t seed) const;
  at::Tensor zeros(at::IntArrayRef sizes, at::ScalarType type = at::kFloat) const;
};

// `host` on `device`; itself where it is there already. Pinned on its way to a GPU, so that the host waits for nothing.
at::Tensor send(const at::Tensor& host, const at::Device& device);

// Sets LibTorch's threads. On CUDA it loads LibTorch's GPU library (docs/decisions/001), takes device 0 and its current
// stream, and turns TF32 off, whose ten bits no rounding bound here allows for; throws cuda where there is no device.
// With `own_stream` the stream is one of LibTorch's pool, current on this thread from then on: the default stream
// cannot be recorded (pass_graph.h).
Site open_site(bool on_cuda, int threads, int streams = 2, bool own_stream = false);

}  // namespace sotto
