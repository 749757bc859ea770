#pragma once
#include <cstdint>

namespace sotto::accountants {

// Rényi divergences R(α) of the worst pair of neighbours, rounded up, for α > 1. All are at most the mechanism's pure ε
// where it has one. Each throws invalid_argument unless its parameters are finite and at least 0 and α is above 1; a
// scale of 0 gives +infinity.

// Gaussian with Δ/σ = mu: α μ² / 2. The discrete Gaussian is no worse (Canonne, Kamath, Steinke 2020, Proposition 5).
double rdp_gaussian(double mu, double order);

// Laplace noise, Δ / scale = epsilon (Mironov 2017, Proposition 6):
//   log( α/(2α−1) e^{(α−1)ε} + (α−1)/(2α−1) e^{−αε} ) / (α−1)
double rdp_laplace(double epsilon, double order);

// P(y) ∝ e^{−|y|/scale} on the integers, moved by `shift`: its loss has 2 · shift values at most, summed up to a shift
// of 4096; the bound of rdp_pure beyond.
double rdp_discrete_laplace(double scale, int64_t shift, double order);

// One of k categories, e^ε as likely as each other (Mironov 2017, Proposition 5, for k = 2):
//   log( p^α r^{1−α} + r^α p^{1−α} + (k−2) r ) / (α−1),  p = e^ε / (e^ε + k − 1), r = p / e^ε
double rdp_randomized_response(double epsilon, int64_t categories, double order);

// Any mechanism whose loss is at most epsilon in magnitude: that of the binary randomised response, from which every
// such pair can be made by post-processing (Kairouz, Oh, Viswanath 2015). With losses within a range of `range` also
// α range² / 8 (Dong, Durfee, Rogers 2020, from Hoeffding's lemma).
double rdp_pure(double epsilon, double range, double order);

// Skellam noise of the given variance in each entry on integer vectors, moved by at most l1 and l2:
//   α l2² / 2v + min( ((2α−1) l2² + 6 l1) / 4v², 3 l1 / 2v )      (Agarwal, Kairouz, Liu 2021, Theorem 3.5)
// at integer α; between them (α−1) R(α) is convex and interpolated from above.
double rdp_skellam(double variance, double l1, double l2, double order);

}  // namespace sotto::accountants
