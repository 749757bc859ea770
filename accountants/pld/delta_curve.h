#pragma once
#include <functional>
#include <vector>

#include "accountants/pld/cell_law.h"

namespace sotto::accountants {

// Upper bounds of δ(ε) at ascending levels of ε, the first one 0.
struct DeltaCurve {
  std::vector<double> level, delta;
};

// The pair whose δ are the chords of the curve: between levels a convex function of e^ε lies below them, and beyond the
// last it stays below the last value. δ at ε < 0 follows from the other direction's, δ(−ε) = 1 − e^−ε + e^−ε δ'(ε).
// Bounds of several pairs, the larger one at each level, make one pair that dominates them all.
LossCells cells_over_curve(const DeltaCurve& curve);  // of both directions
LossCells cells_over_curves(const DeltaCurve& remove, const std::vector<double>& add);

// Levels from 0 to where `roughly`, not below δ, is 1e-18, `most` at most: two thirds of them to where it is 1e-10.
std::vector<double> levels_for(double most, size_t count, const std::function<double(double epsilon)>& roughly);

}  // namespace sotto::accountants
