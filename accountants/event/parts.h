#pragma once
#include <vector>

#include "accountants/event.h"

namespace sotto::accountants {

struct EventUses {
  Event event;
  int64_t count;
};

// What `count` uses of the event consist of: compositions are taken apart, post-processing is dropped, and what is
// exactly a simpler event under the relation becomes it, rounded towards more spent:
//   TreeAggregation            a Gaussian of noise_multiplier / √⌈log2(steps + 1)⌉ (zero_out, replace_one)
//   BandedMatrixFactorisation  ⌈steps / bands⌉ PoissonSampledGaussian of rate bands · sample_rate
//   PoissonSampled             of rate 1: its event, of rate 0: nothing
// Throws configuration where a count would pass 2^53.
std::vector<EventUses> parts_of(const Event& event, int64_t count, NeighbouringRelation relation);

}  // namespace sotto::accountants
