#include "engine/tape/parameters.h"

#include "base/error.h"

namespace sotto {

Parameters::Parameters(const std::vector<std::pair<std::string, at::Tensor>>& named) {
  for (const auto& [name, tensor] : named) {
    if (!tensor.requires_grad()) continue;
    if (!index_.emplace(tensor.unsafeGetTensorImpl(), size()).second) continue;  // tied: one parameter, first name
    if (tensor.scalar_type() != at::kFloat)
      throw Error(ErrorKind::configuration, cat("parameter ", name, " is ", tensor.scalar_type(),
                                                "; private training needs float32 parameters (call model.float())"));
    if (!tensor.is_contiguous())
      throw Error(ErrorKind::configuration,
                  cat("parameter ", name, " of shape ", tensor.sizes(), " has strides ", tensor.strides(),
                      "; private training needs contiguous parameters (register its .contiguous())"));
    names_.push_back(name);
    tensors_.push_back(tensor);
  }
  if (tensors_.empty())
    throw Error(ErrorKind::configuration,
                "the model has no trainable parameter; a frozen TorchScript file has none: save it with "
                "torch.jit.script or torch.jit.trace, without torch.jit.freeze");
}

int64_t Parameters::elements() const {
  int64_t total = 0;
  for (const at::Tensor& tensor : tensors_) total += tensor.numel();
  return total;
}

int64_t Parameters::find(const at::Tensor& tensor) const {
  if (!tensor.defined()) return -1;
  const auto hit = index_.find(tensor.unsafeGetTensorImpl());
  return hit == index_.end() ? -1 : hit->second;
}

}  // namespace sotto
