#include "accountants/gdp/clt.h"

#include <cmath>
#include <limits>

#include "accountants/event/parts.h"
#include "accountants/pld/analytic_gaussian.h"
#include "base/error.h"

namespace sotto::accountants {

Estimate clt_mu(const FixedSchedule& schedule) {
  double square = 0;
  for (const EventUses& listed : schedule.parts())
    for (const EventUses& part : parts_of(listed.event, listed.count, schedule.relation())) {
      double noise = 0, rate = 1;
      if (const auto* plain = std::get_if<Gaussian>(&part.event.mechanism)) {
        noise = plain->noise_multiplier;
      } else if (const auto* sampled = std::get_if<PoissonSampledGaussian>(&part.event.mechanism)) {
        noise = sampled->noise_multiplier;
        rate = sampled->sample_rate;
      }
      if (noise <= 0 || schedule.relation() == NeighbouringRelation::replace_one)
        throw Error(ErrorKind::configuration,
                    cat("the central limit theorem's mu is for Gaussians with noise, Poisson-sampled or not, under "
                        "add_remove or zero_out; got ",
                        to_json(part.event), " under ", to_string(schedule.relation())));
      // A plain Gaussian is one exactly: no limit is taken.
      const double once = rate == 1 ? 1 / noise / noise : rate * rate * std::expm1(1 / noise / noise);
      square += static_cast<double>(part.count) * once;
    }
  return {std::sqrt(square)};
}

Estimate clt_epsilon(const FixedSchedule& schedule, double delta) {
  const double mu = clt_mu(schedule).value;
  if (mu == 0) return {0};
  return {std::isinf(mu) ? std::numeric_limits<double>::infinity() : gaussian_epsilon(mu, delta).upper};
}

Estimate clt_delta(const FixedSchedule& schedule, double epsilon) {
  const double mu = clt_mu(schedule).value;
  if (mu == 0) return {0};
  return {std::isinf(mu) ? 1 : gaussian_delta(mu, epsilon).upper};
}

}  // namespace sotto::accountants
