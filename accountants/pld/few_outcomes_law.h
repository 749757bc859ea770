#pragma once
#include <memory>

#include "accountants/pld/cell_law.h"

namespace sotto::accountants {

// A pair of distributions over a handful of outcomes, the same in both directions.
class FewOutcomesLaw final : public CellLaw {
 public:
  // A unit's category of `categories`, told truthfully with probability e^ε / (e^ε + k − 1).
  static std::shared_ptr<const LossLaw> randomized_response(double epsilon, int64_t categories);
  // What any (ε, δ)-DP mechanism is dominated by (Kairouz, Oh, Viswanath 2015, Theorem 3.3): with δ all is told, else
  // one bit with randomised response.
  static std::shared_ptr<const LossLaw> epsilon_delta(double epsilon, double delta);

  double most_loss(Direction direction) const override;
  double at_infinity() const override { return cells_.p_at_infinity; }
  double lattice() const override { return lattice_; }

 private:
  FewOutcomesLaw(double epsilon, LossCells cells, double lattice)
      : epsilon_(epsilon), cells_(std::move(cells)), lattice_(lattice) {}
  LossCells cells(double, double) const override { return cells_; }
  double anchor() const override { return epsilon_; }
  std::pair<double, double> range(double) const override { return {-epsilon_, epsilon_}; }

  double epsilon_;
  LossCells cells_;
  double lattice_;
};

}  // namespace sotto::accountants
