#include "accountants/event/sampled.h"

#include <algorithm>
#include <cmath>

#include "accountants/event.h"

namespace sotto::accountants {

Event poisson_sampled(double sample_rate, const Event& event) {
  const auto product = [&](double rate) {
    const double both = sample_rate * rate;
    return sample_rate == 1 || rate == 1 || both == 0 ? both : std::min(1.0, std::nextafter(both, 2.0));
  };
  if (const auto* plain = std::get_if<Gaussian>(&event.mechanism))
    return {PoissonSampledGaussian{plain->noise_multiplier, sample_rate}};
  if (const auto* sampled = std::get_if<PoissonSampledGaussian>(&event.mechanism))
    return {PoissonSampledGaussian{sampled->noise_multiplier, product(sampled->sample_rate)}};
  if (const auto* lattice = std::get_if<PoissonSampledDiscreteGaussian>(&event.mechanism))
    return {PoissonSampledDiscreteGaussian{lattice->noise_multiplier, product(lattice->sample_rate)}};
  if (const auto* fine = std::get_if<PoissonSampledLatticeGaussian>(&event.mechanism))
    return {PoissonSampledLatticeGaussian{fine->noise_multiplier, product(fine->sample_rate), fine->sigma}};
  if (const auto* sampled = std::get_if<PoissonSampled>(&event.mechanism))
    return {PoissonSampled{product(sampled->sample_rate), sampled->event}};
  return {PoissonSampled{sample_rate, event}};
}

}  // namespace sotto::accountants
