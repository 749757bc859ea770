#pragma once
#include <memory>

#include "accountants/pld/cell_law.h"

namespace sotto::accountants {

// A mechanism that one pair dominates and that attains another: bounds from above by the first, from below by the
// second. Levels of both are counted from a loss of 0.
class TwoSidedLaw final : public CellLaw {
 public:
  TwoSidedLaw(std::shared_ptr<const CellLaw> above, std::shared_ptr<const CellLaw> below);

  double most_loss(Direction direction) const override { return above_->most_loss(direction); }
  double at_infinity() const override { return above_->at_infinity(); }
  LossCells cells(double step, double tail) const override { return above_->cells(step, tail); }
  std::optional<LossCells> cells_below(double step, double tail) const override { return below_->cells(step, tail); }
  double anchor() const override { return 0; }
  std::pair<double, double> range(double tail) const override;

 private:
  std::shared_ptr<const CellLaw> above_, below_;
};

// The pair whose δ(ε) at every ε ≥ 0, in both directions, is that of removing a unit under the given law (P, Q): of its
// outcomes the ones of positive loss, those mirrored, and the rest at a loss of 0. It is a pair where P(P > Q) + Q(P >
// Q) ≤ 1, as for P = (1−γ) N + γ N' against Q = N with N and N' mirror images. Levels are counted from a loss of 0.
class MirroredLaw final : public CellLaw {
 public:
  explicit MirroredLaw(std::shared_ptr<const CellLaw> law);

  double most_loss(Direction) const override { return law_->most_loss(Direction::remove); }
  double at_infinity() const override { return law_->at_infinity(); }
  LossCells cells(double step, double tail) const override;
  double anchor() const override { return 0; }
  std::pair<double, double> range(double tail) const override;

 private:
  std::shared_ptr<const CellLaw> law_;
};

}  // namespace sotto::accountants
