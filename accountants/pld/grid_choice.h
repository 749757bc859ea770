#pragma once
#include <vector>

#include "accountants/pld/solve.h"

namespace sotto::accountants {

double total_uses(const std::vector<LawUses>& uses);

// The mass that a use may lose at an end: together 1e-4 of the δ that is asked for or found, times the gap.
double tail_mass(double total_uses, double log_delta, const PldLimits& limits);

// The grid's step h for a bracket of ε that wide. Splitting cells multiplies E e^{θ loss} by 1 + θ(θ+1)h²/12 a use,
// merging divides by half as much; an error of log δ is one of θε.
double step_for(double epsilon_gap, double total_uses, double theta);

// Steps that divide the first law's lattice find it without error, if they are not too fine.
double fit_lattice(const std::vector<LawUses>& uses, double step, double finest);

}  // namespace sotto::accountants
