#pragma once
#include "engine/tape/recorder.h"
#include "kernels/group_norm/group_norm.h"

namespace sotto {

inline MatrixView<const float> matrix_of(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), tensor.size(0), tensor.size(1)};
}

// An undefined tensor is an absent vector.
inline VectorView<const float> vector_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return {nullptr, 0};
  return {tensor.const_data_ptr<float>(), tensor.numel()};
}

// Where a normalisation's backward kernel writes: what is not wanted is not allocated.
struct NormBuffers {
  at::Tensor input, scale, shift;
  NormBuffers(int64_t batch, int64_t elements, const at::Tensor& x, bool wants_input, bool wants_scale,
              bool wants_shift) {
    if (wants_input) input = at::empty_like(x);
    if (wants_scale) scale = at::empty({batch, elements}, x.options());
    if (wants_shift) shift = at::empty({batch, elements}, x.options());
  }
  kernels::NormGradients views() { return {view(input), view(scale), view(shift)}; }

 private:
  static MatrixView<float> view(at::Tensor& tensor) {
    if (!tensor.defined()) return {nullptr, 0, 0};
    return {tensor.mutable_data_ptr<float>(), tensor.size(0), tensor.size(1)};
  }
};

// Trained, but not a parameter that the rule may take (a cast, a product): left to the coverage walk, which names it.
inline bool is_foreign(int64_t index, const at::Tensor& tensor) {
  return index < 0 && tensor.defined() && tensor.requires_grad();
}

}  // namespace sotto
