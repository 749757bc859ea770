#pragma once
#include <vector>

#include "engine/dataset.h"

namespace sotto {

// P(label = 1) of each row, in evaluation mode, in blocks.
std::vector<double> predict(const Model& model, const at::Tensor& inputs);

// The mean loss over rows with labels, in evaluation mode.
double mean_loss(const Model& model, const Dataset& dataset);

}  // namespace sotto
