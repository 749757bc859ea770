#pragma once
#include <functional>

#include "accountants/calibrate.h"

namespace sotto::accountants {

// Finds where ε passes target_epsilon along the parameter, from a guess. `bracket_at(value, relative_gap)` may cost
// more the narrower a bracket is asked for: far from the target wide ones are, and the more narrow the nearer it comes.
// `evaluations` is not filled in.
Calibration search(const Parameter& parameter, double guess, double target_epsilon,
                   const std::function<Bracket(double value, double relative_gap)>& bracket_at);

}  // namespace sotto::accountants
