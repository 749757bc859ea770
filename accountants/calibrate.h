#pragma once
#include <cstdint>
#include <functional>
#include <string_view>

#include "accountants/event.h"

namespace sotto::accountants {

// The least Gaussian noise for which `steps` Poisson-sampled steps under add_remove cost at most target_epsilon at
// delta. The accountant's epsilon of the returned value never exceeds the target, and no value 1e-4 relative below it
// would do. Throws configuration when the target cannot be reached (or needs no noise to speak of), naming what it
// would take.
double noise_multiplier_for(double target_epsilon, double delta, double sample_rate, int64_t steps,
                            std::string_view accountant_name = "rdp");

// The same for steps of another kind, by noise multiplier; more noise must never cost more.
double noise_multiplier_for(double target_epsilon, double delta, int64_t steps,
                            const std::function<Event(double noise_multiplier)>& step,
                            std::string_view accountant_name = "rdp");

// The largest number of steps whose epsilon is at most target_epsilon; 0 when even one costs more. Throws configuration
// when 10^15 steps still fit.
int64_t max_steps(double target_epsilon, double delta, double noise_multiplier, double sample_rate,
                  std::string_view accountant_name = "rdp");

}  // namespace sotto::accountants
