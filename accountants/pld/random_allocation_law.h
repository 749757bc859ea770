#pragma once
#include <memory>
#include <mutex>

#include "accountants/pld/cell_law.h"

namespace sotto::accountants {

// t uses of a mechanism, of which one, drawn uniformly, has the unit: balls into bins. With (P, Q) the pair of one use
// (with the unit, without) the pair of all is
//
//   1/t Σ_i Q × … × P (at i) × … × Q   against   Q^t,   whose ratio is S/t, S = X_1 + … + X_t, X_i = dP/dQ(y_i),
//
// for removing a unit, and swapped for adding one. It dominates also where a use is chosen by what those before it
// released: each is then a post-processing, chosen so, of a draw from P or from Q (Blackwell), and so is the whole. It
// is attained where no use is chosen so (Chua et al. 2024; Feldman, Shenfeld 2025, arXiv 2502.08202).
//
// Under Q^t the X_i are independent with mean 1, so the law of S is the t-th power of a transform. Above: X is spread
// onto the lattice j · h with its mean kept, a mean-preserving spread of the ratio, which dominates (Blackwell). Below:
// E max(0, X − a) is convex in a; a chain of lines below it with its corners on the lattice belongs to a law that is
// dominated. The transforms' rounding and what lies outside their window are added above and taken off below: some
// 1e-14 · steps, the least δ that this law knows of.
class RandomAllocationLaw final : public CellLaw {
 public:
  // Throws invalid_argument unless 2 ≤ steps ≤ 10^8.
  RandomAllocationLaw(std::shared_ptr<const CellLaw> one, int64_t steps);

  // Whether the window's 2^16 places resolve the ratio: where single losses are too large they do not.
  static bool fits(const CellLaw& one, int64_t steps);

  double most_loss(Direction direction) const override { return one_->most_loss(direction); }
  double at_infinity() const override { return one_->at_infinity(); }
  LossCells cells(double step, double tail) const override;
  std::optional<LossCells> cells_below(double step, double tail) const override;
  double anchor() const override { return 0; }
  std::pair<double, double> range(double tail) const override;

 private:
  struct Sides {
    LossCells above, below;
  };
  std::shared_ptr<const Sides> sides(double tail) const;  // remembers the last

  std::shared_ptr<const CellLaw> one_;
  double steps_;
  mutable std::mutex mutex_;
  mutable double tail_ = -1;
  mutable std::shared_ptr<const Sides> sides_;
};

}  // namespace sotto::accountants
