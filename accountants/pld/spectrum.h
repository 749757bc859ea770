#pragma once
#include <cstdint>
#include <vector>

#include "accountants/pld/fft.h"
#include "accountants/pld/grid_law.h"

namespace sotto::accountants {

// `count` uses of a law; all parts of one composition have the same step.
struct LawPart {
  BracketedLaw law;
  int64_t count;
};

inline double uses(const LawPart& part) {
  return static_cast<double>(part.count);
}

// Whether every part has a law below: without one there is no lower bound.
bool all_bounded_below(const std::vector<LawPart>& parts);

// The tilted sum of the losses of all uses, wrapped onto a window of N levels: masses times N, and what its rounding
// adds at most to a weighted sum of them.
struct TiltedSum {
  ComplexArray masses;  // imag: above, real: below
  double rounding_above, rounding_below;
};

// One transform a part carries its law above and its law below as real and imaginary part; the spectra are raised to
// the counts and multiplied; one more transform goes back. The rounding bounds hold for weights e^{−θx}(1 − e^{−x}), x
// a multiple of `step` from 0 on: what δ is summed with.
TiltedSum tilted_sum(const std::vector<LawPart>& parts, double theta, double step, size_t size);

// max over x ≥ 0 of e^{−θx}(1 − e^{−x})
double largest_weight(double theta);

}  // namespace sotto::accountants
