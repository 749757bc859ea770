#pragma once
#include "engine/torch.h"

namespace sotto {

// The loss of each sample: [batch] from the model's output and the labels [batch] (int64).
// Output [batch] or [batch, 1]: a logit, binary cross-entropy; [batch, classes]: cross-entropy. Nothing is averaged
// over the batch: samples must not influence each other. Throws configuration for any other shape.
at::Tensor per_sample_loss(const at::Tensor& output, const at::Tensor& labels);

// P(label = 1) of each sample: sigmoid of a logit, softmax's entry 1 of two classes.
at::Tensor positive_probability(const at::Tensor& output);

}  // namespace sotto
