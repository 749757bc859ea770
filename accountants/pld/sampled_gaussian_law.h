#pragma once
#include "accountants/pld/cell_law.h"

namespace sotto::accountants {

// P = (1−q) N(0, σ²) + q N(1, σ²) against Q = N(0, σ²): the dominating pair of the Poisson-sampled Gaussian for adding
// or removing a unit (Zhu, Dong, Wang 2022, Theorem 11). In u = x/σ the loss log(1 − q + q e^(u/σ − 1/2σ²)) grows with
// u.
class SampledGaussianLaw final : public LossLaw {
 public:
  // Throws invalid_argument unless 0 < q ≤ 1 and sigma is above 0.
  SampledGaussianLaw(double sigma, double q);

  BracketedLaw on_grid(Direction direction, double step, double tail, size_t most_levels) const override;
  std::optional<SplitLaw> split(Direction direction, const SplitGrid& grid) const override;
  LossSketch sketch(Direction direction, double tail) const override;
  double span(double tail) const override;
  double most_loss(Direction direction) const override;

 private:
  double log_ratio(double u) const;  // log P/Q at u, for estimates
  double lift(double level) const;   // e^level − (1 − q) = q e^t
  double output_at(double level) const;
  // P(u' > u) and Q(u' < u), rounded up.
  double p_above(double u) const;
  double q_below(double u) const;
  // The least u, up to a little, with p_above(u) ≤ mass; the largest with q_below(u) ≤ mass.
  double upper_cut(double mass) const;
  double lower_cut(double mass) const;

  // The law on a grid of about this step. Outputs of P mass at most tail_p at the top and, where losses have no lower
  // end, of Q mass at most tail_q at the bottom count as +infinity above and not at all below. No more than most_levels
  // levels: the tails grow instead, and with them the bracket.
  GridBuilder discretise(double step, double tail_p, double tail_q, size_t most_levels) const;
  // Where no loss but those of the tails is further from 0 than a step.
  bool within_a_step(double step, double tail) const;
  BracketedLaw around_zero(Direction direction, double step, double tail) const;
  double lowest_level(double step) const;
  LossCells rare_cells(double first, double step, double tail, double apart) const;

  double sigma_, q_;
};

}  // namespace sotto::accountants
