#pragma once
#include <memory>
#include <utility>

#include "accountants/pld/loss_law.h"

namespace sotto::accountants {

// A mechanism of which another's law is known: wherever that one's grids have outputs, each probability of the one is
// within a factor e^±apart of the other's. With one such factor on P and one on Q, δ(ε) ≤ e^apart · δ'(ε − 2 apart),
// and likewise from below.
class NearLaw final : public LossLaw {
 public:
  NearLaw(std::shared_ptr<const LossLaw> law, double apart) : law_(std::move(law)), apart_(apart) {}

  BracketedLaw on_grid(Direction direction, double step, double tail, size_t most_levels) const override {
    BracketedLaw law = law_->on_grid(direction, step, tail, most_levels);
    law.mass_error += apart_;
    law.loss_error += 2 * apart_;
    return law;
  }
  std::optional<SplitLaw> split(Direction direction, const SplitGrid& grid) const override {
    auto found = law_->split(direction, grid);
    if (found)
      for (BracketedLaw* law : {&found->bulk, &found->rare}) law->mass_error += apart_, law->loss_error += 2 * apart_;
    return found;
  }
  LossSketch sketch(Direction direction, double tail) const override { return law_->sketch(direction, tail); }
  double span(double tail) const override { return law_->span(tail); }
  double most_loss(Direction direction) const override { return law_->most_loss(direction) + 2 * apart_; }
  double at_infinity() const override { return law_->at_infinity(); }

 private:
  std::shared_ptr<const LossLaw> law_;
  double apart_;
};

}  // namespace sotto::accountants
