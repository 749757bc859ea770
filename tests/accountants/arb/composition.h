#pragma once
#include <arb_poly.h>

#include <cstdint>
#include <vector>

#include "accountants/pld/grid_law.h"
#include "tests/accountants/arb/ball.h"

namespace sotto::accountants {

// The sum of independent losses on one grid: a polynomial a use, multiplied out with balls as coefficients.
class TrueComposition {
 public:
  explicit TrueComposition(const Ball& step);
  ~TrueComposition() { arb_poly_clear(masses_); }
  TrueComposition(const TrueComposition&) = delete;
  TrueComposition& operator=(const TrueComposition&) = delete;

  // `count` uses of masses at the losses first + i · step.
  void add(const std::vector<Ball>& masses, const Ball& first, uint64_t count);
  // The atoms' doubles are taken as exact numbers.
  void add(const LossAtoms& atoms, uint64_t count);

  // Σ_{ℓ>ε} P(ℓ)(1 − e^{ε−ℓ}) + P(some loss is infinite), each use's being so by itself.
  Ball delta(const Ball& epsilon) const;

 private:
  Ball level(size_t i) const { return first_ + step_ * static_cast<double>(i); }
  void sum_up() const;

  Ball first_ = 0, step_, none_infinite_ = 1;
  arb_poly_t masses_;
  // Σ P(ℓ_j) and Σ P(ℓ_j) e^{ℓ_i − ℓ_j} over j ≥ i; made by the first delta().
  mutable std::vector<Ball> tails_, shrunk_;
};

}  // namespace sotto::accountants
