#pragma once
#include <functional>
#include <vector>

namespace sotto::accountants {

// What drawing a batch of fixed size without replacement makes of any mechanism, when a unit is replaced: `rate` γ is
// batch / population, rdp(l) the mechanism's divergence at the integers l and pure_epsilon its ε, +infinity where it
// has none, both when a unit of the batch is replaced. At integers α (Wang, Balle, Kasiviswanathan 2019, Theorem 9):
//
//   (α−1) R(α) ≤ log( 1 + γ² C(α,2) min( 4 (e^{R(2)} − 1), e^{R(2)} min(2, (e^ε − 1)²) )
//                     + Σ_{l=3}^{α} γ^l C(α,l) e^{(l−1) R(l)} min(2, (e^ε − 1)^l) )
//
// between them (α−1) R(α) is convex and interpolated from above. Never above rdp(α), which is also the bound above
// order 512: sampling only helps.
std::vector<double> rdp_fixed_size_sampled(double rate, double pure_epsilon,
                                           const std::function<double(double order)>& rdp,
                                           const std::vector<double>& orders);

}  // namespace sotto::accountants
