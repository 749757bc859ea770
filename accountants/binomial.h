#pragma once
#include <vector>

namespace sotto::accountants {

// P(X = first + i) of X ~ Bin(trials, probability), from the mode outwards as far as it is 1e-40 of the mode's; what is
// left out is less than 1e-36. The masses sum to 1 up to rounding, each is good to 4u a step away from the mode.
struct BinomialMasses {
  double first;
  std::vector<double> mass;

  // trials ≥ 0 whole, 0 < probability < 1.
  BinomialMasses(double trials, double probability);
};

}  // namespace sotto::accountants
