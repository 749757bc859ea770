#pragma once
#include <vector>

#include "base/random_key.h"
#include "engine/tape/grad_samples.h"

namespace sotto {

// Norms of samples' gradients that are right on average (kernels/estimated_norms). A type of its own, from which no
// clip factor can be made: a sample whose norm is underestimated would weigh more than its clip norm, and what that
// costs is not accounted for here.
class EstimatedNorms {
 public:
  // √ of the estimates of the squared norms, one a sample.
  const std::vector<double>& values() const { return values_; }

 private:
  explicit EstimatedNorms(std::vector<double> values) : values_(std::move(values)) {}
  friend EstimatedNorms estimate_norms(const Exec&, const Parameters&, const GradSamples&, int64_t, const StreamKey&);
  std::vector<double> values_;
};

// Estimates from `probes` ≥ 1 standard normal vectors of the stream a weight: where a weight is kept as the factors of
// one use with several rows a sample; exact for all others.
EstimatedNorms estimate_norms(const Exec& exec, const Parameters& parameters, const GradSamples& grads, int64_t probes,
                              const StreamKey& stream);

}  // namespace sotto
