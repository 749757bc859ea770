#include "accountants/gdp/mu.h"

namespace sotto::accountants {
namespace {

UnitCost of_gaussian(double noise_multiplier, NeighbouringRelation relation) {
  return {relation == NeighbouringRelation::replace_one ? 4.0 : 1.0, square_down(noise_multiplier)};
}

}  // namespace

std::optional<UnitCost> mu_squared(const Event& event, NeighbouringRelation relation) {
  validate(event);
  if (const auto* plain = std::get_if<Gaussian>(&event.mechanism))
    return of_gaussian(plain->noise_multiplier, relation);
  if (const auto* sampled = std::get_if<PoissonSampledGaussian>(&event.mechanism)) {
    if (sampled->sample_rate == 0) return UnitCost{};
    if (sampled->sample_rate == 1) return of_gaussian(sampled->noise_multiplier, relation);
  }
  return std::nullopt;
}

}  // namespace sotto::accountants
