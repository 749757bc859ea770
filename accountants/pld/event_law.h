#pragma once
#include <memory>

#include "accountants/event.h"
#include "accountants/pld/loss_law.h"

namespace sotto::accountants {

// The loss of one use of the event under the relation, null where no dominating pair is known here. A unit moves a
// statistic by C under add_remove and zero_out, from −C to +C under replace_one. Known are
//   Gaussian, Laplace, DiscreteLaplace, DiscreteGaussian       every relation
//   PoissonSampledGaussian, PoissonSampled of the other three  every relation; replace_one with the pair
//     (1−q)·M(0) + q·M(±C), taken as dominating as dp-accounting 0.6.0 takes it
//   MixtureOfGaussians                                         add_remove, zero_out
//   RandomizedResponse                                         replace_one
//   EpsilonDelta                                               every relation
//   whatever has an ε of its own (pure_dp.h), TruncatedLaplace, and Poisson samples of these and of EpsilonDelta: by
//     that (ε, δ), no lower bound; samples under add_remove and zero_out
// Discrete noise with more than 2^20 outputs that matter is not taken, nor are noise multipliers that leave doubles.
std::shared_ptr<const LossLaw> loss_law(const Event& event, NeighbouringRelation relation);

}  // namespace sotto::accountants
