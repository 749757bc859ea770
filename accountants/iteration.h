#pragma once
#include <cstdint>

namespace sotto::accountants {

// One pass of noisy projected gradient descent, of which only the last iterate is released: what record t told is
// covered by the noise of the later steps too (Feldman, Mironov, Talwar, Thakurta 2018, Theorem 23).
struct ContractiveDescent {
  double lipschitz;        // L: no loss's gradient is longer (clipping gives that, and takes convexity away)
  double smoothness;       // β: nor its derivative, in the same norm
  double step_size;        // η ≤ 2/β, so that a step brings any two iterates no further apart
  double noise_deviation;  // σ of the Gaussian noise added to each gradient
  int64_t records;         // n, each used once, in an order fixed without a look at them
  bool convex;             // every loss, on a convex set that each step projects to
  bool only_last_iterate_released;
};

// The Rényi divergence at `order` that record `place` (1 … n) loses when it is replaced, rounded up:
//
//   R(α) = α · 2 L² / (σ² (n + 1 − t))
//
// The last record, t = n, gains nothing; the guarantee of a whole data set is the last one's, unless records are told
// their places. Throws configuration, saying which, when an assumption is not met: not convex, another iterate
// released, η > 2/β; invalid_argument for numbers out of range or an order not above 1.
double rdp_by_iteration(const ContractiveDescent& descent, int64_t place, double order);

}  // namespace sotto::accountants
