#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "accountants/budget.h"

namespace sotto::accountants {

// One budget for every unit (record, patient, client) on its own: a unit is charged for what it contributed, not for
// the most it might have, and takes no further part once its budget is gone (Feldman and Zrnic 2021 for divergences;
// Koskela, Tobaben, Honkela 2023 for Gaussian DP). Eight bytes a unit. The whole sequence of releases then
// keeps the common budget, for each unit, however the steps were chosen.
//
// What a unit spent depends on its data. So there is no way to ask for it, nor for how many have left: admit() says who
// may take part in this one step, to the code that makes the step, and nothing else comes out. Do not log, count or
// release its answer; the only number to publish is the common budget.
//
// For plain Gaussian noise on a sum under add_remove or zero_out: without sampling by any of the budgets, on Poisson
// batches by a bound on the Rényi divergence at one order. Not for use by two threads at once.
class IndividualFilter {
 public:
  // Throws invalid_argument unless units ≥ 0 and the budget is finite and above 0, and without a delta for zCDP.
  IndividualFilter(int64_t units, ZcdpBudget budget);
  IndividualFilter(int64_t units, GdpBudget budget);
  // By the divergence at the budget's order, of which there must be one: RdpBudget::holding(ε, δ, {α}).
  IndividualFilter(int64_t units, const RdpBudget& budget);
  // A second one would spend the same budgets twice.
  IndividualFilter(const IndividualFilter&) = delete;
  IndividualFilter& operator=(const IndividualFilter&) = delete;

  int64_t units() const { return static_cast<int64_t>(spent_.size()); }

  // Before a step that adds noise_multiplier · C to the sum of contributions of units[i], each at most shares[i] · C in
  // L2 norm (rounded up; 1 where only the clip norm is known): admitted[i] is 1, and the unit is charged
  // share² / noise_multiplier² of its μ² (half of it of ρ), or 0, and the unit must be left out. Throws, charging
  // nobody, invalid_argument unless the three are of one size, every unit is known and listed once, every share is in
  // [0, 1] and noise_multiplier is finite and at least 0.
  void admit(std::span<const int64_t> units, std::span<const float> shares, double noise_multiplier,
             std::span<uint8_t> admitted);

  // Before a step on a Poisson batch: units[i] are all who might be drawn, not those who are. Who is admitted may be
  // drawn, with probability sample_rate, and is charged for it whether drawn or not: R(α) of the sampled Gaussian with
  // noise_multiplier / share, the share rounded up to a multiple of 1/256. Throws likewise, and invalid_argument unless
  // the budget is an RdpBudget and sample_rate in [0, 1].
  void admit_to_sample(std::span<const int64_t> units, std::span<const float> shares, double noise_multiplier,
                       double sample_rate, std::span<uint8_t> admitted);

 private:
  IndividualFilter(int64_t units, double mu_squared);
  // part(share): of the budget, rounded up.
  template <class Part>
  void charge(std::span<const int64_t> units, std::span<const float> shares, std::span<uint8_t> admitted,
              const Part& part);

  static constexpr uint64_t kBudget = uint64_t{1} << 62;
  double mu_squared_;            // the budget, or 0
  double order_ = 0, rdp_ = 0;   // the budget, or 0
  std::vector<uint64_t> spent_;  // parts of the budget in 2^-62; the top bit marks who is listed during a call
};

}  // namespace sotto::accountants
