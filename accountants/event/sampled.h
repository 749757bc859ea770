#pragma once
#include <cstdint>

#include "accountants/event/nested.h"

namespace sotto::accountants {

// Every unit joins the batch independently with probability `sample_rate`; each contributes a vector of L2 norm at most
// C; Gaussian noise of standard deviation noise_multiplier · C is added to the sum.
struct PoissonSampledGaussian {
  double noise_multiplier, sample_rate;
  bool operator==(const PoissonSampledGaussian&) const = default;
};

// As PoissonSampledGaussian, on a lattice: every contribution is a vector of integers whose squared norm is at most an
// integer S, and each entry of the sum gets discrete Gaussian noise, P(y) ∝ exp(-y² / 2σ²) on the integers with
// σ ≥ noise_multiplier · √S (Canonne, Kamath, Steinke 2020).
struct PoissonSampledDiscreteGaussian {
  double noise_multiplier, sample_rate;
  bool operator==(const PoissonSampledDiscreteGaussian&) const = default;
};

// As PoissonSampledDiscreteGaussian, with the noise's parameter said: σ = sigma lattice points, and S = (sigma /
// noise_multiplier)². The finer the lattice, the nearer to the continuous Gaussian.
struct PoissonSampledLatticeGaussian {
  double noise_multiplier, sample_rate, sigma;
  bool operator==(const PoissonSampledLatticeGaussian&) const = default;
};

// Any other event on a batch that every unit joins independently with probability sample_rate. What has an event of its
// own is refused here, so that each thing is said in one way: Gaussians, and batches drawn from a batch. The function
// poisson_sampled (event.h) finds the right one.
struct PoissonSampled {
  double sample_rate;
  Nested event;
  bool operator==(const PoissonSampled&) const = default;
};

// The event on `batch_size` units drawn uniformly from population_size (a public number): at most once each, or
// with_replacement, independently.
struct FixedSizeSampled {
  int64_t batch_size, population_size;
  bool with_replacement;
  Nested event;
  bool operator==(const FixedSizeSampled&) const = default;
};

// `reports` units each run the event, a local randomiser, on their own; the results leave in random order.
struct Shuffled {
  int64_t reports;
  Nested event;
  bool operator==(const Shuffled&) const = default;
};

// `steps` uses of the event, each unit joining `selected` of them that are drawn uniformly: balls into bins where
// selected is 1. Independent of what other units do.
struct RandomAllocation {
  int64_t steps, selected;
  Nested event;
  bool operator==(const RandomAllocation&) const = default;
};

}  // namespace sotto::accountants
