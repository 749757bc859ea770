#pragma once
#include <functional>

#include "tests/accountants/arb/ball.h"

namespace sotto::accountants {

// δ at an ε ≥ 0 of one pair of outputs, enclosed.
using Truth = std::function<Ball(const Ball& epsilon)>;

// Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ)  (Balle and Wang 2018, Theorem 8)
Truth true_gaussian(const Ball& mu);
// 1 − e^{(ε − 1/scale)/2} up to ε = 1/scale
Truth true_laplace(const Ball& scale);
// Σ_y max(0, P(y − shift) − e^ε P(y)), P(y) ∝ e^{−y²/2σ²} or e^{−|y|/scale} on the integers, with what is left of the
// series beyond 30 σ or 300 scales.
Truth true_discrete_gaussian(double sigma, int shift);
Truth true_discrete_laplace(double scale, int shift);

// Of (1−q)·Q + q·P against Q, and the other way round, where P against Q is as Q against P: with a = (e^ε − 1 + q)/q
// the first is q·δ(log a); with c = 1 − (1−q) e^ε the second is c·δ(log(q e^ε / c)), or 0 where c ≤ 0.
Truth sampled_remove(Truth whole, double rate);
Truth sampled_add(Truth whole, double rate);
// The worse of the two at each ε.
Truth sampled(const Truth& whole, double rate);

}  // namespace sotto::accountants
