#pragma once
#include <cstdint>
#include <string_view>

namespace sotto::accountants {

// The least Gaussian noise for which `steps` Poisson-sampled steps under add_remove cost at most target_epsilon at
// delta. The accountant's epsilon of the returned value never exceeds the target, and no value 1e-4 relative below it
// would do. Throws configuration when the target cannot be reached (or needs no noise to speak of), naming what it
// would take.
double noise_multiplier_for(double target_epsilon, double delta, double sample_rate, int64_t steps,
                            std::string_view accountant_name = "rdp");

// The largest number of steps whose epsilon is at most target_epsilon; 0 when even one costs more. Throws configuration
// when 10^15 steps still fit.
int64_t max_steps(double target_epsilon, double delta, double noise_multiplier, double sample_rate,
                  std::string_view accountant_name = "rdp");

}  // namespace sotto::accountants
