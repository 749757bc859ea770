#include "engine/sampler.h"

#include <cmath>

#include "base/error.h"

namespace sotto {

PoissonSampler::PoissonSampler(const RunKey& key, double sample_rate, int64_t units)
    : key_(key), sample_rate_(sample_rate), units_(units) {
  require(sample_rate > 0 && sample_rate <= 1, "sample_rate must be in (0, 1], got ", sample_rate);
  require(units >= 0, "the number of units cannot be negative, got ", units);
}

Batch PoissonSampler::draw(uint64_t step) const {
  std::vector<uint64_t> words(static_cast<size_t>(units_));
  fill_words(key_.stream(Purpose::sampling, step), words.data(), units_);
  // Rounded down, so that no unit is drawn more often than the event claims.
  const auto threshold = static_cast<uint64_t>(std::ldexp(std::nextafter(sample_rate_, 0.0), 64));
  Batch batch;
  for (int64_t unit = 0; unit < units_; ++unit)
    if (sample_rate_ == 1.0 || words[static_cast<size_t>(unit)] < threshold) batch.units.push_back(unit);
  return batch;
}

}  // namespace sotto
