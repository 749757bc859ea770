#pragma once
#include <cstdint>

#include "accountants/event.h"

namespace sotto::accountants {

// Privacy amplification by shuffling: `reports` units each run a local randomiser that is epsilon_0-DP when the unit is
// replaced, and an honest shuffler hides who sent what. With C ~ Bin(reports − 1, e^−ε_0), A ~ Bin(C, 1/2) and Δ ~
// Bernoulli(e^ε_0 / (e^ε_0 + 1)), the reports are no more telling than
//
//   (A + Δ, C − A + 1 − Δ)  against  (A + 1 − Δ, C − A + Δ)       (Feldman, McMillan, Talwar 2021, Theorem 3.2)
//
// under replace_one, also where each randomiser is chosen from the reports before it. The divergence of this pair is
// summed with all that is left out counted as lost: an upper bound, above the sum by less than 1 % of δ.
//
// Assumed, and the caller's to ensure: all reports come from honest units that run the randomiser once each, and the
// shuffler learns nothing and links nothing. Not an amplification of training batches: to shuffle a data set and cut it
// into batches is no Poisson sampling and no local randomiser.

// Throws invalid_argument unless 0 < epsilon_0 ≤ 50 (more would not amplify), 2 ≤ reports ≤ 10^8 and epsilon ≥ 0.
double shuffled_delta(double epsilon_0, int64_t reports, double epsilon);
// The least ε found with shuffled_delta ≤ delta, at most epsilon_0; delta in (0, 1).
double shuffled_epsilon(double epsilon_0, int64_t reports, double delta);

// An event of the kind Shuffled as what it is at this δ, so that it composes. Throws configuration where an assumption
// that can be seen is not met: another kind of event, fewer than 2 reports, a randomiser without a finite ε of its own
// under replace_one (Gaussian noise, (ε, δ) with δ > 0), or one of more than 50.
EpsilonDelta amplified_by_shuffling(const Event& event, double delta);

}  // namespace sotto::accountants
