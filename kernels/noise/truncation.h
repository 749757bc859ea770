#pragma once
#include <cstdint>

namespace sotto::kernels {

// The normals come in pairs, r (cos θ, sin θ) with r² = -2 ln u and u a multiple of 2^-64: r ≤ sqrt(128 ln 2) = 9.419.
// A true pair of normals has P(r > c) = exp(-c²/2), so that what is cut off is exactly 2^-64 a pair.
inline constexpr double kGaussianCut = 9.41928018;  // rounded down

// P(a true pair of normals lies outside the disc that the generator covers): bounds P(|z| > cut) of each of the two.
constexpr double gaussian_tail_probability() {
  return 0x1p-64;
}

// An upper bound of what the truncation adds to δ over `steps` steps that each release `elements` noised elements, at
// any ε. `noise_multiplier` = stddev / l2_sensitivity.
//
// Let s = 1 / noise_multiplier, c the cut, n the pairs of a step. Truncated densities are the true ones times one
// constant wherever both neighbours' discs reach, so the loss there is the true one; what is new is the chance that one
// neighbour's output lies where the other's never does: some pair has |z + Δ_j| > c although |z| ≤ c, with Σ Δ_j² ≤ s².
// Now P(|z + Δ| > c) ≤ exp(-(c - Δ)²/2) ≤ 2^-64 e^(cΔ), and with g(Δ) = e^(cΔ) - 1:
//   where Δ ≤ 1/c, g ≤ (e - 1) c Δ, which sums to at most (e - 1) c s √n (Cauchy and Schwarz);
//   where Δ > 1/c, g / Δ² is largest at an end of [1/c, s], which sums to at most max((e - 1) c² s², e^(cs)).
// So a step adds at most 2^-64 (n + (e - 1) c s √n + max((e - 1) c² s², e^(cs))), and δ ≤ 1 is divided by the
// probability that nothing is cut, which is at least 1 - 2^-64 n. Steps add up, adaptive or not, and a mixture over the
// drawn sample only helps. Returns 1 where s ≥ c.
double gaussian_truncation_delta(int64_t elements, int64_t steps, double noise_multiplier);

}  // namespace sotto::kernels
