#pragma once
#include <optional>

#include "accountants/event.h"

namespace sotto::accountants {

// What is known of a mechanism whose privacy loss is bounded: it never exceeds epsilon in magnitude, and spreads over
// at most `range` between the outputs of one pair of neighbours (2 epsilon where nothing better is known).
struct PureDp {
  double epsilon, range;
};

// ε of one of event/parts.h, rounded up, or nothing where no finite one is known under the relation:
//
//   Laplace, discrete Laplace: Δ / scale, Δ doubled under replace_one; staircase: its epsilon, doubled likewise
//   randomised response: its epsilon, replace_one only; a channel: the largest log ratio of a column, replace_one only
//   exponential mechanism: its epsilon, which is also the range (Dong, Durfee, Rogers 2020)
//   report noisy max, sparse vector: what their comments in event/mechanisms.h say
//   (epsilon, 0)-DP: epsilon
std::optional<PureDp> pure_dp(const Event& event, NeighbouringRelation relation);

}  // namespace sotto::accountants
