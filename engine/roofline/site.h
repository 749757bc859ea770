#pragma once
#include <ATen/ATen.h>

#include "base/view.h"
#include "cuda/exec.h"

namespace sotto {

// Where a contest is held: its kernels run on `exec`, LibTorch's operators on `device` with the same threads or stream.
struct Site {
  Exec exec;
  at::Device device;

  // Standard normals and ids in [0, below): the same numbers for the same seed, on every device.
  at::Tensor normals(at::IntArrayRef sizes, uint64_t seed) const;
  at::Tensor ids(at::IntArrayRef sizes, int64_t below, uint64_t seed) const;
  at::Tensor zeros(at::IntArrayRef sizes, at::ScalarType type = at::kFloat) const;
};

// Sets LibTorch's threads. On CUDA it loads LibTorch's GPU library (docs/decisions/001) and takes device 0 and its
// current stream; throws cuda where there is none.
Site open_site(bool on_cuda, int threads);

// A contiguous tensor as kernels take it: a matrix has the last dimension's columns.
inline MatrixView<const float> in(const at::Tensor& x) {
  return {x.const_data_ptr<float>(), x.numel() / x.size(-1), x.size(-1)};
}
inline MatrixView<float> out(const at::Tensor& x) {
  return {x.mutable_data_ptr<float>(), x.numel() / x.size(-1), x.size(-1)};
}
template <class T = float>
VectorView<const T> vector_in(const at::Tensor& x) {
  return {x.const_data_ptr<T>(), x.numel()};
}
template <class T = float>
VectorView<T> vector_out(const at::Tensor& x) {
  return {x.mutable_data_ptr<T>(), x.numel()};
}

}  // namespace sotto
