#pragma once
#include <cstdint>
#include <vector>

namespace sotto::accountants {

struct RatioLaw;

// A set of outputs of a base law: its probability, and two likelihood ratios X and Y against the base, their means over
// the set and their values at its two ends. For every a ≥ 1 the ratio X − aY lies between its ends.
struct RatioCell {
  double mass, x, y;
  double first_x, first_y, last_x, last_y;
};
// A set over which both ratios are constant.
inline RatioCell flat_cell(double mass, double x, double y) {
  return {mass, x, y, x, y, x, y};
}

// `count` independent outputs of the base law and S(a) = Σ_i (X_i − aY_i):
//
//   δ(a) = E max(0, S(a)) / scale,  a = e^ε.
//
// This is the divergence of every mechanism that hides one output among others of the base: with E X = E Y = scale /
// count, the densities of P and Q against the base are Σ X_i / scale and Σ Y_i / scale.
//
// From above. At each a the ends of cells, and then the points of a lattice, take the mass between them with its mean
// kept: a mean-preserving spread, which E max(0, ·) of a sum does not fall under. The sum's law is a power of a
// transform of the law tilted by the θ at which its mean is 0, so that errors are relative; what lies beyond the window
// is bounded by Chernoff's, and every rounding is added.
class SumDivergence {
 public:
  // Masses sum to 1; scale > 0, 1 ≤ count ≤ 10^9.
  SumDivergence(std::vector<RatioCell> cells, int64_t count, double scale);

  // Not below δ(a); 0 where no output has X > aY.
  double above(double a) const;
  // A rough upper bound, for choosing levels: Chernoff's.
  double roughly(double a) const;

 private:
  double of_each(const RatioLaw& summand) const;

  std::vector<RatioCell> cells_;
  int64_t count_;
  double scale_;
};

}  // namespace sotto::accountants
