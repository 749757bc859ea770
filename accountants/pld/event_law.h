#pragma once
#include <memory>

#include "accountants/event.h"
#include "accountants/pld/solve.h"

namespace sotto::accountants {

// The loss of one use of the event under the relation, null where no dominating pair is known here. A unit moves a
// statistic by C under add_remove and zero_out, from −C to +C under replace_one. Known, from both sides, are
//   Gaussian, Laplace, TruncatedLaplace, DiscreteLaplace, DiscreteGaussian, Skellam, and Poisson samples of them
//                                           every relation (noise_law.h)
//   PoissonSampledLatticeGaussian           every relation, from σ ≈ 4 + log(sigma / noise_multiplier) on (noise_law.h)
//   batches of fixed size of these          without replacement every relation, with it add_remove
//   random allocation of one step of these  every relation (noise_law.h); of more, from above (uses_of_law)
//   Staircase                               every relation; its Poisson samples add_remove, zero_out (staircase_law.h)
//   MixtureOfGaussians                      add_remove, zero_out
//   RandomizedResponse                      replace_one
//   Shuffled RandomizedResponse             replace_one (shuffled_law.h)
//   Shuffled LocalChannel, Laplace          replace_one (shuffled_channel_law.h)
//   EpsilonDelta                            every relation
// and from above alone whatever has an ε of its own (pure_dp.h), by that; Poisson samples of these and of EpsilonDelta
// under add_remove and zero_out, batches of fixed size of them without replacement, shuffled reports of them.
// Discrete noise with more than 2^20 outputs that matter is not taken, nor are noise multipliers that leave doubles.
std::shared_ptr<const LossLaw> loss_law(const Event& event, NeighbouringRelation relation);

// The same, where one use of the event may be several of a law: random allocation of more than one step. A null law
// where none is known.
LawUses uses_of_law(const Event& event, NeighbouringRelation relation);

}  // namespace sotto::accountants
