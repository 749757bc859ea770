#pragma once
#include <memory>

#include "accountants/pld/cell_law.h"

namespace sotto::accountants {

// An outcome that P has with probability p and Q with p · e^−loss.
struct Outcome {
  double p, loss;
};

// A pair of distributions over a handful of outcomes.
class FewOutcomesLaw final : public CellLaw {
 public:
  // Of outcomes by ascending loss, whose losses are good to 1e-14 of the largest; on multiples of `lattice` from the
  // largest loss, 0 where they are on no lattice.
  FewOutcomesLaw(const std::vector<Outcome>& outcomes, double lattice);
  // A unit's category of `categories`, told truthfully with probability e^ε / (e^ε + k − 1).
  static std::shared_ptr<const LossLaw> randomized_response(double epsilon, int64_t categories);
  // What any (ε, δ)-DP mechanism is dominated by (Kairouz, Oh, Viswanath 2015, Theorem 3.3): with δ all is told, else
  // one bit with randomised response.
  static std::shared_ptr<const LossLaw> epsilon_delta(double epsilon, double delta);

  double most_loss(Direction direction) const override;
  double at_infinity() const override { return cells_.p_at_infinity; }
  double lattice() const override { return lattice_; }
  LossCells cells(double, double) const override { return cells_; }
  double anchor() const override { return cells_.loss.back(); }
  std::pair<double, double> range(double) const override { return {cells_.loss.front(), cells_.loss.back()}; }

 private:
  FewOutcomesLaw(LossCells cells, double lattice) : cells_(std::move(cells)), lattice_(lattice) {}

  LossCells cells_;
  double lattice_;
};

}  // namespace sotto::accountants
