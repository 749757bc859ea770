#pragma once
#include <vector>

#include "engine/tape/grad_samples.h"

namespace sotto {

// Joins the gradients of records into those of the units that they belong to: unit u has the records starts[u] up to
// starts[u + 1], at least one, and its gradient is their sum. So norms, factors and the clipped sum are a unit's, cross
// terms between its records included. Factors and ids stay where they are and get a table of where each unit's rows
// begin, so that nothing is padded to the unit that has most; stored gradients are added up, and so are losses.
GradSamples by_unit(GradSamples records, const std::vector<int64_t>& starts, const Parameters& parameters);

}  // namespace sotto
