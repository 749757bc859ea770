#pragma once
#include <functional>
#include <vector>

#include "accountants/pld/cell_law.h"

namespace sotto::accountants {

// A mechanism of which only upper bounds of δ(ε) are known, the same in both directions: values[i] at ε = i · step.
// Between levels a convex function of e^ε lies below its chords, beyond the last it stays below the last value. The
// cells are those of the pair whose δ are these chords, at ε < 0 by δ(−ε) = 1 − e^−ε + e^−ε δ(ε) of the other
// direction. Bounds of several pairs, the larger one at each level, make one pair that dominates them all.
LossCells cells_over_curve(std::vector<double> values, double step);

// values of `delta` at levels from 0 to where it is below 1e-18, at most to `most`.
struct DeltaCurve {
  std::vector<double> values;
  double step;
};
DeltaCurve delta_curve(double most, size_t levels, const std::function<double(double epsilon)>& roughly,
                       const std::function<double(double epsilon)>& delta);

}  // namespace sotto::accountants
