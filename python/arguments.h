#pragma once
#include "base/error.h"
#include "base/view.h"
#include "python/torch.h"

// An operator's arguments, checked, as kernels take them, and the tensors that kernels add to.
namespace sotto::python {

inline at::Tensor checked(const char* name, const at::Tensor& tensor, at::ScalarType type, const at::Tensor& beside) {
  require(tensor.scalar_type() == type, cat(name, " must be ", type, ", got ", tensor.scalar_type()));
  require(tensor.device() == beside.device(),
          cat(name, " is on ", tensor.device(), ", the others on ", beside.device()));
  return tensor.contiguous();
}

// [rows, features] out of [B · length, features] or [B, length, features].
inline at::Tensor rows(const char* name, const at::Tensor& tensor, const at::Tensor& beside) {
  require(tensor.dim() >= 2, cat(name, " needs rows and features, got shape ", tensor.sizes()));
  return checked(name, tensor, at::kFloat, beside).flatten(0, -2);
}

template <class T>
MatrixView<const T> matrix(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<T>(), tensor.size(0), tensor.size(1)};
}

inline VectorView<double> doubles(at::Tensor& tensor) {
  return {tensor.mutable_data_ptr<double>(), tensor.numel()};
}

inline VectorView<const float> floats(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), tensor.numel()};
}

inline VectorView<float> mutable_floats(at::Tensor& tensor) {
  return {tensor.mutable_data_ptr<float>(), tensor.numel()};
}

inline at::Tensor zero_norms(int64_t batch, const at::Tensor& like) {
  return at::zeros({batch}, like.options().dtype(at::kDouble).requires_grad(false));
}

inline at::Tensor zeros(at::IntArrayRef shape, const at::Tensor& like) {
  return at::zeros(shape, like.options().requires_grad(false));
}

}  // namespace sotto::python
