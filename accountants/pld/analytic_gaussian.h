#pragma once
#include "accountants/bracket.h"

namespace sotto::accountants {

// The Gaussian mechanism with μ = sensitivity / standard deviation, any composition of Gaussians being one with
// μ² = Σ μ_i² (Balle and Wang 2018, Theorem 8; Dong, Roth, Su 2022, Corollary 3.3):
//
//   δ(ε) = Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ)
//
// rounded outward by 1e-10 of δ. Throws invalid_argument unless μ > 0 is finite, ε ≥ 0, 0 < δ < 1.
Bracket gaussian_delta(double mu, double epsilon);
Bracket gaussian_epsilon(double mu, double delta);

}  // namespace sotto::accountants
