#pragma once
#include "accountants/fixed_schedule.h"

namespace sotto::accountants {

// A number without a promise: it may lie on either side of the truth. Not a Bracket, and nothing that limits a run or
// answers for a budget takes it.
struct Estimate {
  double value;
};

// The central limit theorem's μ of Poisson-sampled Gaussians, in the limit q √steps → constant:
//
//   μ² = Σ count · q² (e^{1/σ²} − 1)        (Bu, Dong, Long, Su 2020, Corollary 4)
//
// and what (ε, δ) a μ-GDP mechanism would have. At usual settings it reports less than is leaked: 0.284 for a true ε of
// 0.927 at (σ 0.5, q 1e-5, 10^6 steps, δ 1e-6). For comparison with papers that report it. Throws configuration unless
// every part is a Gaussian, Poisson-sampled or not, under add_remove or zero_out.
Estimate clt_mu(const FixedSchedule& schedule);
Estimate clt_epsilon(const FixedSchedule& schedule, double delta);
Estimate clt_delta(const FixedSchedule& schedule, double epsilon);

}  // namespace sotto::accountants
