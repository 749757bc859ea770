#pragma once
#include <vector>

#include "accountants/bracket.h"
#include "accountants/fixed_schedule.h"

namespace sotto::accountants {

// f(α): the least type II error of any test, at type I error α, of whether a unit took part (Dong, Roth, Su 2022). The
// larger f, the more private; 1 − α is perfect. All for 0 ≤ alpha ≤ 1; the functions throw invalid_argument otherwise.

// G_μ(α) = Φ(Φ⁻¹(1 − α) − μ), rounded outward, for finite mu ≥ 0.
Bracket gaussian_trade_off(double mu, double alpha);

// Laplace noise of scale 1/epsilon on a sum of sensitivity 1 (Dong, Roth, Su 2022, Section A.1).
Bracket laplace_trade_off(double epsilon, double alpha);

// f_{ε,δ}(α) = max(0, 1 − δ − e^ε α, e^−ε (1 − δ − α)) (Wasserman and Zhou 2010).
Bracket epsilon_delta_trade_off(double epsilon, double delta, double alpha);

// Of a fixed schedule, from its δ(ε) at some ε: f is the largest of all f_{ε,δ(ε)} (Dong, Roth, Su 2022, Proposition
// 2.12). Below: the largest of those with δ's upper ends. Above: between neighbouring ε, δ falls no lower than at the
// second and e^ε is no less than at the first.
class TradeOffCurve {
 public:
  // At `points` values of ε from 0 to the one with δ = 1e-12, closer where α is larger. Throws what FixedSchedule does
  // and invalid_argument unless points ≥ 2.
  TradeOffCurve(const FixedSchedule& schedule, const Accounting& accounting = {}, int points = 48);

  Bracket at(double alpha) const;

 private:
  struct Point {
    double epsilon;
    Bracket delta;
  };
  std::vector<Point> points_;
};

}  // namespace sotto::accountants
