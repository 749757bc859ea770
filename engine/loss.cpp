#include "engine/loss.h"

#include "base/error.h"

namespace sotto {

at::Tensor per_sample_loss(const at::Tensor& of_model, const at::Tensor& labels) {
  const at::Tensor output = of_model.scalar_type() == at::kBFloat16 ? of_model.to(at::kFloat) : of_model;
  if (output.dim() == 1 || (output.dim() == 2 && output.size(1) == 1))
    return at::binary_cross_entropy_with_logits(output.reshape({-1}), labels.to(output.dtype()), {}, {},
                                                at::Reduction::None);
  if (output.dim() == 2) return at::cross_entropy_loss(output, labels, {}, at::Reduction::None);
  throw Error(ErrorKind::configuration, cat("the model's output must be [batch], [batch, 1] or [batch, classes]; for ",
                                            labels.size(0), " samples it is ", output.sizes()));
}

at::Tensor positive_probability(const at::Tensor& output) {
  if (output.dim() == 1 || (output.dim() == 2 && output.size(1) == 1)) return at::sigmoid(output.reshape({-1}));
  if (output.dim() == 2 && output.size(1) == 2) return at::softmax(output, 1).select(1, 1);
  throw Error(ErrorKind::configuration,
              cat("a probability needs a model with one logit or two classes; its output is ", output.sizes()));
}

}  // namespace sotto
