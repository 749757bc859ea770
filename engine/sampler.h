#pragma once
#include <cstdint>
#include <vector>

#include "base/random_key.h"

namespace sotto {

// The units of privacy drawn for one step, ascending, each at most once.
struct Batch {
  std::vector<int64_t> units;
  int64_t size() const { return static_cast<int64_t>(units.size()); }
};

// Poisson sampling: each of `units` is in the batch of a step with probability sample_rate, independently of all others
// and of all other steps. Decided by the unit's own 64-bit word of the stream (sampling, step), so it depends on
// nothing but the key: not on batch size, threads or ranks. An empty batch is a valid draw.
class PoissonSampler {
 public:
  PoissonSampler(const RunKey& key, double sample_rate, int64_t units);
  Batch draw(uint64_t step) const;

 private:
  RunKey key_;
  double sample_rate_;
  int64_t units_;
};

}  // namespace sotto
