#pragma once
#include <vector>

namespace sotto::accountants {

// The orders at which the RDP accountant keeps its curve, increasing, from 1.01 to 65536. For small sampling rates the
// RDP of a sampled Gaussian jumps within a fraction of an order somewhere between 3 and 40, and the best order sits at
// the foot of that jump: there the steps are 0.1 to 0.5. Elsewhere ε is flat around its best order and steps of a few
// per cent lose below 0.1 %. Large orders matter for small sampling rates and much noise.
const std::vector<double>& default_orders();

// Few orders, since a filter pays a share of δ for each. To be fixed before the first charge: choosing them after
// looking would void the filter.
const std::vector<double>& filter_orders();

}  // namespace sotto::accountants
