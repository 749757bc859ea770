#pragma once
#include <cstddef>
#include <vector>

namespace sotto::accountants {

// f(k) = e^−v I_|k|(v): the difference of two independent Poisson variables of mean v/2 each, v its variance. All that
// doubles can hold, |k| ≤ reach(), from the ratios of neighbours (Amos 1974)
//
//   I_{k+1}(v) / I_k(v) = 1 / (2(k+1)/v + I_{k+2}(v) / I_{k+1}(v)),
//
// downwards, where errors shrink, and f(0) = 1 / (1 + 2 Σ …). Nothing is subtracted: relative errors are below 4u a k.
class SkellamMasses {
 public:
  // Throws invalid_argument unless variance is above 0 and at most 1e9.
  explicit SkellamMasses(double variance);

  double reach() const { return static_cast<double>(mass_.size() - 1); }
  double mass(double k) const;      // 0 beyond the reach
  double log_mass(double k) const;  // −infinity beyond it
  // P(noise ≥ k), rounded up: for a log-concave law less than a geometric series from its first term on.
  double tail(double k) const;

  // The reach of such noise, up to a little.
  static double reach_of(double variance);

 private:
  std::vector<double> mass_;
};

}  // namespace sotto::accountants
