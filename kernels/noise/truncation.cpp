#include "kernels/noise/truncation.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace sotto::kernels {

double gaussian_truncation_delta(int64_t elements, int64_t steps, double noise_multiplier) {
  require(noise_multiplier > 0 && std::isfinite(noise_multiplier), "noise_multiplier must be positive and finite, got ",
          noise_multiplier);
  require(elements >= 0 && steps >= 0, "got ", elements, " elements and ", steps, " steps");
  if (elements == 0 || steps == 0) return 0;
  const double shift = 1 / noise_multiplier;
  if (shift >= kGaussianCut) return 1;
  const double cut = kGaussianCut * (1 + 1e-8);                           // not less than the true cut
  const double pairs = std::ceil(static_cast<double>(elements) / 2) + 4;  // a last block may be cut anywhere
  const double slope = (std::exp(1.0) - 1) * cut * shift;
  const double reach = pairs + slope * std::sqrt(pairs) + std::max(slope * cut * shift, std::exp(cut * shift));
  const double cut_off = gaussian_tail_probability() * pairs * static_cast<double>(steps);
  const double reached = gaussian_tail_probability() * reach * static_cast<double>(steps);
  if (cut_off >= 0.5) return 1;
  const double margin = 1 + 1e-9;  // for the rounding of this function
  return std::min(1.0, (reached + cut_off) / (1 - cut_off) * margin);
}

}  // namespace sotto::kernels
