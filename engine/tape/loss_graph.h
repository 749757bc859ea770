#pragma once
#include <set>

#include "engine/tape/parameters.h"

namespace sotto {

// Throws configuration unless `losses` is a vector with one entry for each of `batch` samples.
void check_losses(const at::Tensor& losses, int64_t batch);

// The parameters that a backward pass from `losses` would give a gradient summed over samples: a captured parameter
// never enters the graph.
std::set<int64_t> parameters_reached(const at::Tensor& losses, const Parameters& parameters);

}  // namespace sotto
