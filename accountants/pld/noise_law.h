#pragma once
#include <memory>
#include <optional>

#include "accountants/event.h"
#include "accountants/pld/shifted_noise_law.h"
#include "accountants/pld/solve.h"

namespace sotto::accountants {

// Noise with a log-concave density and how far a unit moves it: at most by `shift` in L1 norm (L2 for Gaussian noise),
// and by attained_shift where it moves one entry alone.
struct Noise {
  NoiseShape shape;
  double scale, shift, attained_shift, bound;
};

// Of the events that add such noise to a sum: Gaussian, Laplace, TruncatedLaplace, DiscreteLaplace, DiscreteGaussian,
// Skellam. A vector of integers within l1 and l2 moves by min(⌊l1⌋, ⌊l2²⌋) in L1, and by ⌊l2⌋ in one entry.
std::optional<Noise> noise_of(const Event& event);

// All functions below return null where arithmetic would need more than 2^20 outputs or leave doubles.

// The unit joins with probability `rate`. Both bounds under every relation (ShiftedNoiseLaw says why): with it against
// without, and under replace_one, where it moves the sum by +shift or −shift when it joins.
std::shared_ptr<const LossLaw> poisson_sampled_law(const Noise& noise, double rate, NeighbouringRelation relation);

// Integer vectors of L2 norm at most σ / noise_multiplier, and discrete Gaussian noise of parameter σ in each of any
// number of entries; the unit joins with probability `rate`. From both sides under every relation, by Gaussians:
//
//   above  a draw from N(c, σ² − s²), an entry rounded to the integers with discrete Gaussian noise of parameter s
//          around it, is a draw from N_Z(c, σ²) but for a factor of 1 ± η(s) a probability, η(s) = 2 Σ e^−2π²s²j² over
//          j ≥ 1 (Poisson's summation formula). So noise on the lattice is no worse than N(0, σ² − s²), up to that
//          factor in each entry in which neighbours differ: at most (σ / noise_multiplier)² of them, twice that where
//          one is replaced. The others say nothing.
//   below  one entry moved by ⌊σ / noise_multiplier⌋, with N(0, s²) added on top: N(c, σ² + s²) but for a like factor.
//
// s is such that all factors together are within e^±2e-30. Null where σ is too small for one.
std::shared_ptr<const LossLaw> lattice_gaussian_law(double noise_multiplier, double sigma, double rate,
                                                    NeighbouringRelation relation);

// A batch of fixed size without replacement, of which the unit takes the place of another with probability γ = batch /
// population. With N, N' the noise 2 · shift apart and P = (1−γ) N + γ N' (Zhu, Dong, Wang 2022, Theorem 11 and
// Proposition 30; attained where all others contribute the opposite):
//   add_remove    (P, N), from both sides; `population` is that of the larger data set
//   replace_one   above: at every ε ≥ 0 the δ of (P, N), in both directions; below: (P, N)
//   zero_out      above: the same; below: ((1−γ) M + γ M', M), M and M' one shift apart, all others contributing 0
std::shared_ptr<const LossLaw> fixed_size_law(const Noise& noise, double rate, NeighbouringRelation relation);

// `draws` draws with replacement from `population`: add_remove only. The unit comes k ~ Bin(draws, 1 / population)
// times, and moves the sum by 2 · shift · k at most: Σ P(k) N(2 · shift · k) against N(0), from both sides (for
// Gaussian noise Choquette-Choo, Ganesh, Steinke, Thakurta 2024). Null for other relations, and where the unit may come
// more than 60 times.
std::shared_ptr<const LossLaw> with_replacement_law(const Noise& noise, double draws, double population,
                                                    NeighbouringRelation relation);

// `steps` uses, of which the unit joins one, drawn uniformly: RandomAllocationLaw, from both sides, where noise is wide
// enough for its grid, and else, as under replace_one, the laws of allocation_curve_law.h from above, and what the mean
// of all outputs tells from below. Where there is none of these, from above alone, by what joining a known one costs.
std::shared_ptr<const LossLaw> random_allocation_law(const Noise& noise, int64_t steps, NeighbouringRelation relation);

// The unit joins `selected` of them. Above: `selected` uses of 1 of ⌊steps / selected⌋ (Feldman, Shenfeld 2025, arXiv
// 2502.08202): to deal the uses into `selected` random groups of that size, which depends on nobody, and draw one of
// each is to draw so many of all. Below: the mean of all outputs of Gaussian noise, else nothing; all of `steps`
// exactly.
LawUses random_allocations_law(const Noise& noise, int64_t steps, int64_t selected, NeighbouringRelation relation);

// A law above alone: (ε, δ)-DP, also on the share `rate` of a batch: (log(1 + rate (e^ε − 1)), rate · δ) (Balle,
// Barthe, Gaboardi 2018, Theorems 8 and 9).
std::shared_ptr<const LossLaw> at_most(const EpsilonDelta& promise, double rate = 1);

}  // namespace sotto::accountants
