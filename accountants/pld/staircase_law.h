#pragma once
#include <memory>

#include "accountants/pld/loss_law.h"

namespace sotto::accountants {

// Staircase noise, of density a e^{−ε k} on k − 1 + γ ≤ |x| < k + γ (k = 0 from 0 on), a = (1 − e^−ε) / (2γ + 2e^−ε(1 −
// γ)) (Geng, Viswanath 2014), moved by `moved` units of the sensitivity, 1 or 2, for the share `rate` of a Poisson
// sample; P is with the unit. Losses are multiples of ε, or log(1 − q + q e^loss) of such.
//
// The pair dominates all that move by less, as for any density f that is symmetric and falls with |x|: where f(y) /
// f(y + d) > 1, y + d is farther out than y, and farther still for a larger d, so ∫ f(y) max(0, 1 − e^t f(y+d) / f(y))
// dy grows with d for every t ≥ 0; for t < 0 swap the two by reflection.
//
// Throws invalid_argument unless 0 < epsilon ≤ 100, step_fraction is in [0, 1], moved is 1 or 2 and 0 < rate ≤ 1.
std::shared_ptr<const LossLaw> staircase_law(double epsilon, double step_fraction, int moved, double rate);

}  // namespace sotto::accountants
