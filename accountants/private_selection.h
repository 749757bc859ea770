#pragma once
#include <vector>

#include "accountants/rdp/curve.h"

namespace sotto::accountants {

// How often a mechanism is run before its best outcome is released and the others are thrown away: a random number, so
// that the outcome costs little more than one run (Papernot and Steinke 2022). A fixed number would cost that many.

// P(K = k) ∝ (1−γ)^k Γ(k + shape) / k! for k ≥ 1, of the given mean > 1: geometric for shape 1, logarithmic for 0.
// Shape from above −1.
struct TruncatedNegativeBinomial {
  double shape, mean;
};

// Poisson of mean ≥ 1; where it draws 0, nothing is run and nothing released.
struct PoissonRuns {
  double mean;
};

// From the divergences `rdp` of one run, at increasing `orders`, to those of the selection, rounded up:
//
//   R'(α) = R(α) + log E[K] / (α−1) + (1 + shape) min over β of ( (1 − 1/β) R(β) + log(1/γ) / β )     (Theorem 2)
//   R'(α) = R(α) + log mean / (α−1) + mean · δ, where a run is (log(1 + 1/(α−1)), δ)-DP               (Theorem 6)
//
// Assumed: the runs are independent, each on the whole data and by itself R(α)-RDP; which outcome is best is decided by
// their released outputs alone; how many runs there were is not told before its draw nor released. Throws
// invalid_argument unless the parameters are as said and there is one value an order.
RdpCurve private_selection(const std::vector<double>& orders, const RdpCurve& rdp,
                           const TruncatedNegativeBinomial& runs);
RdpCurve private_selection(const std::vector<double>& orders, const RdpCurve& rdp, const PoissonRuns& runs);

// γ of a truncated negative binomial, by its mean.
double selection_gamma(const TruncatedNegativeBinomial& runs);

}  // namespace sotto::accountants
