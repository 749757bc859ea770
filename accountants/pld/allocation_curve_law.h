#pragma once
#include <cstdint>
#include <memory>

#include "accountants/pld/cell_law.h"
#include "accountants/pld/noise_law.h"

namespace sotto::accountants {

// Random allocation of one of `steps` uses by upper bounds of δ at levels of ε, each from sums of ratios tilted for it
// (SumDivergence), and never more than what a use costs that is known to be the unit's. Both laws from above alone;
// null for noise that they do not take. With N the noise, C how far a unit moves a use, and everything against the same
// base N(0)^t, in which the unit is nowhere:

// Adding or removing the unit: P = 1/t Σ_i N(C) at i against Q = N(0)^t. Gaussian noise of σ ≥ 0.2 C. A use that
// passes some 2 to 10 deviations from C counts as telling all, whichever costs least at the level: where noise is
// small, ratios are too far apart for one lattice, as RandomAllocationLaw has.
std::shared_ptr<const CellLaw> allocation_removed_law(const Noise& noise, int64_t steps);

// Replacing it: P = 1/t Σ_i N(+C) at i against Q = 1/t Σ_i N(−C) at i,
//
//   δ(ε) = E max(0, Σ_i X_i − e^ε Y_i) / t,  X = dN(+C)/dN(0), Y = dN(−C)/dN(0).
//
// It dominates. Given what the other uses add to the sum, a use asks for the best test between shifts of one
// log-concave noise, c · N(0) + N(x) against e^ε N(x'), whatever the sign of c: thresholds, and x, x' as far apart as
// they may be (ShiftedNoiseLaw says why, in many entries, too). So X − e^ε Y of any x, x' lies below that of ±C in the
// convex order, use by use, also where a use is chosen by what those before it released. The unit's use is the same,
// whoever the unit is: it is drawn for the place in the data set. Gaussian noise of σ ≥ 0.2 C, Laplace noise of scale ≥
// 0.05 C.
std::shared_ptr<const CellLaw> allocation_replaced_law(const Noise& noise, int64_t steps);

}  // namespace sotto::accountants
