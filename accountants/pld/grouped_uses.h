#pragma once
#include <optional>
#include <vector>

#include "accountants/pld/composed_law.h"
#include "accountants/pld/solve.h"
#include "accountants/pld/steering.h"

namespace sotto::accountants {

struct GroupedUses {
  std::vector<LawPart> parts;
  LeftOut left_out;
};

// All uses as few uses of groups, for so many of them that one grid cannot be both as fine as a single use needs and as
// wide as the sum: a bracket as narrow as a grid of `step` would give. Nothing where that is not to be had either.
//
// Where a law splits, its uses (S + L)^n, L the rare large losses, become two parts. Above, S^n and (δ_0 + L/|S|)^n:
// uses that have a large loss count a small one, too, which by itself costs no less than a loss of −c, c = log of S's Q
// mass ÷ its P mass. Below, S^{n−J} and (δ_0 + L/|S|)^n without the terms of more than J large losses: for j of them
// S^{n−j} is S^{n−J} and J − j uses more, each at least |S| at a loss of −c.
std::optional<GroupedUses> in_groups(const std::vector<LawUses>& uses, Direction direction, const Steering& steering,
                                     double step, double tail, const PldLimits& limits);

}  // namespace sotto::accountants
