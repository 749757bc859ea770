#pragma once
#include <functional>
#include <vector>

namespace sotto::accountants {

// What Poisson sampling at `sample_rate` q makes of a mechanism with Rényi divergences rdp(l) at the integers l, when a
// unit is added or removed, at each of the increasing orders, rounded up. At integers α (Zhu and Wang 2019, Theorem 6):
//
//   (α−1) R(α) ≤ log( (1−q)^{α−1} (αq − q + 1) + C(α,2) q² (1−q)^{α−2} e^{R(2)}
//                     + c Σ_{l=3}^{α} C(α,l) q^l (1−q)^{α−l} e^{(l−1) R(l)} ),   c = 3
//
// and with c = 1 where a reflection swaps the outputs with and without the unit, as for sums with symmetric noise: the
// sum is then the moment with the unit over without, and the other direction is no worse (Mironov, Talwar, Zhang 2019,
// Theorem 5). Between integers (α−1) R(α) is convex and interpolated from above (it is 0 at α = 1). Never above rdp(α),
// which is also the bound above order 512: sampling only helps.
std::vector<double> rdp_poisson_sampled(double sample_rate, bool reflects,
                                        const std::function<double(double order)>& rdp,
                                        const std::vector<double>& orders);

}  // namespace sotto::accountants
