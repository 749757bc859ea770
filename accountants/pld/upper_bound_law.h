#pragma once
#include <memory>
#include <utility>

#include "accountants/pld/cell_law.h"

namespace sotto::accountants {

// A law that bounds a mechanism which may be better: from below it costs nothing.
class UpperBoundLaw final : public LossLaw {
 public:
  explicit UpperBoundLaw(std::shared_ptr<const LossLaw> law) : law_(std::move(law)) {}

  BracketedLaw on_grid(Direction direction, double step, double tail, size_t most_levels) const override {
    BracketedLaw law = law_->on_grid(direction, step, tail, most_levels);
    law.below = atoms_below({.p = {1}, .q = {1}, .loss = {0}}, law.above.offset, step);
    return law;
  }
  LossSketch sketch(Direction direction, double tail) const override { return law_->sketch(direction, tail); }
  double span(double tail) const override { return law_->span(tail); }
  double most_loss(Direction direction) const override { return law_->most_loss(direction); }
  double at_infinity() const override { return law_->at_infinity(); }
  double lattice() const override { return law_->lattice(); }

 private:
  std::shared_ptr<const LossLaw> law_;
};

}  // namespace sotto::accountants
