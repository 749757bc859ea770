#pragma once
#include <vector>

#include "accountants/pld/grid_law.h"

namespace sotto::accountants {

// out[(first + i) mod out.size()] = mass[i] e^{θ · loss(i) − K(θ)}, a distribution; the rest of `out` is 0. The size is
// a power of two.
void tilt_into(const LossAtoms& atoms, double theta, std::vector<double>& out);

// Likewise mass[i] e^{θ · loss(i)} itself; returns the sum.
double tilt_raw_into(const LossAtoms& atoms, double theta, std::vector<double>& out);

// Σ mass e^{s · loss}.
double tilted_mass(const LossAtoms& atoms, double s);

// K(s) = log Σ mass e^{s · loss}, off by at most cumulant_error.
double cumulant(const LossAtoms& atoms, double s);
double cumulant_error(const LossAtoms& atoms, double s);

}  // namespace sotto::accountants
