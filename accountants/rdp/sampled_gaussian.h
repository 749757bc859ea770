#pragma once

namespace sotto::accountants {

// Rényi divergence of order α between P = (1−q) N(0, σ²) + q N(1, σ²) and Q = N(0, σ²), the worse direction:
//
//   R(α) = log E_Q[(P/Q)^α] / (α−1)                  (Mironov, Talwar, Zhang 2019, Theorems 4 and 5)
//
// An upper bound: never below the true value, and above it by at most 1e-9 relative where σ ≥ 0.1 and
// α ≤ 4096 max(1, σ), or α is an integer up to 4096. Elsewhere fractional orders are interpolated between their
// neighbours (log E is convex in α, so this too is an upper bound), and larger ones get the value without sampling.
// q = 0 gives 0, q = 1 the plain Gaussian α / 2σ², σ = 0 with q > 0 +infinity.
// Throws invalid_argument unless σ ≥ 0 is finite, 0 ≤ q ≤ 1 and 1.001 ≤ α ≤ 2^20.
double rdp_sampled_gaussian(double noise_multiplier, double sample_rate, double order);

}  // namespace sotto::accountants
