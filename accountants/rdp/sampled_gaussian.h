#pragma once

namespace sotto::accountants {

// Rényi divergence of order α between P = (1−q) N(0, σ²) + q N(1, σ²) and Q = N(0, σ²), the worse direction:
//
//   R(α) = log E_Q[(P/Q)^α] / (α−1)                  (Mironov, Talwar, Zhang 2019, Theorems 4 and 5)
//
// An upper bound: never below the true value, and above it by at most 1e-10 relative where σ ≥ 0.1 and
// α ≤ 4096 max(1, σ), or α is an integer up to 4096. Elsewhere fractional orders are interpolated between their
// neighbours (log E is convex in α, so this too is an upper bound), and larger ones get the value without sampling.
// q = 0 gives 0, q = 1 the plain Gaussian α / 2σ², σ = 0 with q > 0 +infinity.
// Throws invalid_argument unless σ ≥ 0 is finite, 0 ≤ q ≤ 1 and 1.001 ≤ α ≤ 2^20.
double rdp_sampled_gaussian(double noise_multiplier, double sample_rate, double order);

// The same between mixtures of discrete Gaussians on the lattice Z^n, P = (1−q) N_Z(0, σ²) + q N_Z(μ, σ²) and
// Q = N_Z(0, σ²) with an integer μ, ‖μ‖ ≤ 1 in units of sensitivity: an upper bound, the worse direction.
//
// At integer α it is the bound above. E_Q[(P/Q)^α] is a sum of (1−q)^(α−k) q^k E_Q[r^k], r = N_Z(μ)/N_Z(0), with
// positive weights, and E_Q[r^k] ≤ e^{k(k−1)‖μ‖²/2σ²} for integer shifts, coordinate by coordinate (Canonne, Kamath,
// Steinke 2020, Proposition 5), with equality for N(0, σ²). The other direction is no worse: Theorem 5 of Mironov,
// Talwar, Zhang 2019 asks for a reflection that swaps the two, here x → μ − x, which maps the lattice onto itself.
// Between integers, log E[r^α] is convex in α and interpolated from above; it is 0 at α = 1.
double rdp_sampled_discrete_gaussian(double noise_multiplier, double sample_rate, double order);

}  // namespace sotto::accountants
