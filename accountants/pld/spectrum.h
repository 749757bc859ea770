#pragma once
#include <cstdint>
#include <vector>

#include "accountants/pld/fft.h"
#include "accountants/pld/grid_law.h"

namespace sotto::accountants {

// `count` uses of a law, of which the bound below leaves out some; all parts of one composition have the same step.
// Where losses are rare, a mass of 1 at a loss of 0 comes to the law's: then errors are relative to what is rare.
struct LawPart {
  BracketedLaw law;
  int64_t count;
  int64_t left_out = 0;
  bool rare = false;
};

inline double uses(const LawPart& part) {
  return static_cast<double>(part.count);
}

// log E e^{s · loss} of all uses of one side of the part, and how far that and the part's masses may be off.
double log_moment(const LawPart& part, const LossAtoms& side, double s);
double log_moment_error(const LawPart& part, double s);

// Whether every part has a law below: without one there is no lower bound.
bool all_bounded_below(const std::vector<LawPart>& parts);

// How far the masses of a tilted sum may be off: a weighted sum of them (below), and each of them.
struct SumRounding {
  double weighted, each;
};

// The tilted sum of the losses of all uses, wrapped onto a window of N levels: masses times N.
struct TiltedSum {
  ComplexArray masses;  // imag: above, real: below
  SumRounding above, below;
};

// One transform a part carries its law above and its law below as real and imaginary part; the spectra are raised to
// the counts and multiplied; one more transform goes back. The bounds of weighted sums hold for weights e^{−θx}(1 −
// e^{−x}), x a multiple of `step` from 0 on: what δ is summed with.
TiltedSum tilted_sum(const std::vector<LawPart>& parts, double theta, double step, size_t size);

// max over x ≥ 0 of e^{−θx}(1 − e^{−x})
double largest_weight(double theta);

}  // namespace sotto::accountants
