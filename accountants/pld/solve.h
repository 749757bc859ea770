#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "accountants/bracket.h"
#include "accountants/pld/loss_law.h"

namespace sotto::accountants {

struct LawUses {
  std::shared_ptr<const LossLaw> law;
  int64_t count;
};

// How narrow a bracket to aim for, and what it may cost: at these limits 44 MB at most, measured. Where the largest
// transform and the most levels do not allow the gap, the bracket comes out wider.
struct PldLimits {
  double relative_gap = 1e-3;
  size_t largest_transform = size_t{1} << 19;
  size_t most_levels = size_t{1} << 18;
};

// The ε at which the composition of all uses is (ε, delta)-DP in both directions, whichever is worse, for 0 < delta <
// 1; and the δ at an ε ≥ 0. The grid is refined until upper − lower ≤ relative_gap · upper or the limits are reached.
// Upper may be +infinity (δ: 1), lower 0.
Bracket epsilon_bracket(const std::vector<LawUses>& uses, double delta, const PldLimits& limits);
Bracket delta_bracket(const std::vector<LawUses>& uses, double epsilon, const PldLimits& limits);

// No composition of them loses more, whatever the output: an ε with δ = 0, +infinity where there is none.
double most_loss(const std::vector<LawUses>& uses);

}  // namespace sotto::accountants
