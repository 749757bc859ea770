#pragma once
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/torch.h"

namespace sotto {

// The parameters that a private run trains, in a fixed order. A parameter is identified by its TensorImpl, so that a
// tied weight that two modules name is one parameter. The position in the order names its noise stream.
class Parameters {
 public:
  // Takes every tensor that requires a gradient, once. Refuses an empty list, dtypes other than float32, and
  // parameters that are not contiguous.
  explicit Parameters(const std::vector<std::pair<std::string, at::Tensor>>& named);

  int64_t size() const { return static_cast<int64_t>(tensors_.size()); }
  const at::Tensor& tensor(int64_t index) const { return tensors_[static_cast<size_t>(index)]; }
  const std::string& name(int64_t index) const { return names_[static_cast<size_t>(index)]; }
  int64_t elements() const;
  // The index of the parameter that `tensor` is, or -1: a view, a cast or a copy of a parameter is not the parameter.
  int64_t find(const at::Tensor& tensor) const;

 private:
  std::vector<std::string> names_;
  std::vector<at::Tensor> tensors_;
  std::unordered_map<const c10::TensorImpl*, int64_t> index_;
};

}  // namespace sotto
