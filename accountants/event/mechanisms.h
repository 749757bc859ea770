#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace sotto::accountants {

// One release each. "A unit contributes at most C" is what its presence changes under add_remove and zero_out;
// replacing it may change twice as much, which accountants take into account: C is the same under each relation.
// Noise 0 is a valid event whose epsilon is infinite.

// Every unit contributes a vector of L2 norm at most C; Gaussian noise of standard deviation noise_multiplier · C is
// added to the sum.
struct Gaussian {
  double noise_multiplier;
  bool operator==(const Gaussian&) const = default;
};

// Every unit contributes a vector of L1 norm at most C; every entry gets Laplace noise of scale noise_multiplier · C,
// density ∝ exp(−|x| / scale).
struct Laplace {
  double noise_multiplier;
  bool operator==(const Laplace&) const = default;
};

// A sum of integers, one of magnitude at most `sensitivity` a unit, plus noise P(y) ∝ exp(−|y| / scale) on the
// integers, also called the geometric mechanism (Ghosh, Roughgarden, Sundararajan 2012).
struct DiscreteLaplace {
  double scale;
  int64_t sensitivity;
  bool operator==(const DiscreteLaplace&) const = default;
};

// A sum of integers, one of magnitude at most `sensitivity` a unit, plus noise P(y) ∝ exp(−y² / 2 sigma²) on the
// integers; sigma is the parameter, not exactly the standard deviation (Canonne, Kamath, Steinke 2020).
struct DiscreteGaussian {
  double sigma;
  int64_t sensitivity;
  bool operator==(const DiscreteGaussian&) const = default;
};

// A sum of integer vectors, each of L1 norm at most l1_sensitivity and L2 norm at most l2_sensitivity, plus in each
// entry the difference of two Poisson variables of mean variance/2 (Agarwal, Kairouz, Liu 2021).
struct Skellam {
  double variance, l1_sensitivity, l2_sensitivity;
  bool operator==(const Skellam&) const = default;
};

// A sum of numbers, one of magnitude at most C a unit, plus noise of density ∝ exp(−|x| / (noise_multiplier · C)) on
// |x| ≤ bound_multiplier · C and 0 outside (Geng, Ding, Guo, Kumar 2020).
struct TruncatedLaplace {
  double noise_multiplier, bound_multiplier;
  bool operator==(const TruncatedLaplace&) const = default;
};

// A sum of numbers, one of magnitude at most C a unit, plus noise whose density falls by e^−epsilon at |x| =
// (k + step_fraction) · C, k = 0, 1, 2, … (Geng, Viswanath 2014).
struct Staircase {
  double epsilon, step_fraction;
  bool operator==(const Staircase&) const = default;
};

// One unit says which of k `categories` it is in: the truth with probability e^epsilon / (e^epsilon + k − 1), else each
// other with the same. Only replacing the unit has a meaning.
struct RandomizedResponse {
  double epsilon;
  int64_t categories;
  bool operator==(const RandomizedResponse&) const = default;
};

// One unit says one of m things: y with probability table[x][y] where its value is x. 2 to 64 rows of the same 2 to 256
// entries, each row summing to 1 up to rounding. Only replacing the unit has a meaning.
struct LocalChannel {
  std::vector<std::vector<double>> table;
  bool operator==(const LocalChannel&) const = default;
};

// Any mechanism of which it is only known that it is (epsilon, delta)-DP under the relation asked for.
struct EpsilonDelta {
  double epsilon, delta;
  bool operator==(const EpsilonDelta&) const = default;
};

// Selects r with probability ∝ exp(epsilon · u(r) / 2Δ), or with `monotone` utilities ∝ exp(epsilon · u(r) / Δ), where
// a neighbour changes u by at most Δ. It is epsilon-DP, and more: the loss's range over r is at most epsilon (Dong,
// Durfee, Rogers 2020).
struct ExponentialMechanism {
  double epsilon;
  bool monotone;
  bool operator==(const ExponentialMechanism&) const = default;
};

// The index of the largest of u(r) + noise, the noise Laplace or exponential of scale noise_multiplier · Δ where a
// neighbour changes u by at most Δ: 2 / noise_multiplier-DP, 1 / noise_multiplier where all u change in one direction
// (`monotone`; Dwork, Roth 2014, §3.3; Ding et al. 2021). With Gumbel noise it is the ExponentialMechanism.
struct ReportNoisyMax {
  double noise_multiplier;
  bool monotone;
  bool operator==(const ReportNoisyMax&) const = default;
};

// Answers queries of sensitivity Δ by "above" or "below" a threshold until most_above were above. Laplace noise of
// scale threshold_noise_multiplier · Δ on the threshold and query_noise_multiplier · Δ on each query:
// (1 / threshold_noise_multiplier + 2 most_above / query_noise_multiplier)-DP, without the 2 where all queries change
// in one direction (`monotone`; Lyu, Su, Li 2017, Theorems 4 and 5).
struct SparseVector {
  double threshold_noise_multiplier, query_noise_multiplier;
  int64_t most_above;
  bool monotone;
  bool operator==(const SparseVector&) const = default;
};

// A unit contributes a vector of L2 norm at most sensitivities[i] · C with probability probabilities[i]; Gaussian noise
// of standard deviation noise_multiplier · C is added. The dominating pair is Σ p_i N(s_i, σ²) against N(0, σ²)
// (Choquette-Choo, Ganesh, Steinke, Thakurta 2024). Sensitivities ascend from at least 0; probabilities sum to 1 up to
// rounding.
struct MixtureOfGaussians {
  double noise_multiplier;
  std::vector<double> sensitivities, probabilities;
  bool operator==(const MixtureOfGaussians&) const = default;
};

// All prefix sums of `steps` vectors from a binary tree whose nodes get Gaussian noise of standard deviation
// noise_multiplier · C; a unit contributes to one step, at most C in L2 norm (Kairouz et al. 2021). It is a Gaussian
// over ⌈log2(steps + 1)⌉ nodes. A restarted tree is a new one. Adding or removing a unit would move the others to other
// steps: zero_out and replace_one only.
struct TreeAggregation {
  double noise_multiplier;
  int64_t steps;
  bool operator==(const TreeAggregation&) const = default;
};

// `steps` releases whose noise is correlated by a matrix with `bands` bands and columns of norm 1, Gaussian with
// standard deviation noise_multiplier · C before that. The units are dealt into `bands` groups beforehand; step t takes
// group t mod bands, each of its units with probability bands · sample_rate, so that a unit joins a step with
// sample_rate on average (Choquette-Choo et al. 2023, Theorem 4).
struct BandedMatrixFactorisation {
  double noise_multiplier, sample_rate;
  int64_t bands, steps;
  bool operator==(const BandedMatrixFactorisation&) const = default;
};

// Uses nothing but what was released before: costs nothing.
struct PostProcessing {
  bool operator==(const PostProcessing&) const = default;
};

// Releases the data: no finite epsilon, and δ = 1.
struct NonPrivate {
  bool operator==(const NonPrivate&) const = default;
};

// A mechanism that cannot be described here; no accountant takes it. 1 to 200 printable ASCII characters.
struct Unsupported {
  std::string description;
  bool operator==(const Unsupported&) const = default;
};

}  // namespace sotto::accountants
