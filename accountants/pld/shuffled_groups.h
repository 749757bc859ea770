#pragma once
#include "accountants/pld/cell_law.h"

namespace sotto::accountants {

// What a report says, as far as it is looked at: one of three groups of outputs, each with its probability.
struct GroupLaw {
  double first, second, rest;
};

// `reports` shuffled reports of which all but one are of units whose reports follow `others`, and one follows `with`
// (P) or `without` (Q). The numbers of reports in the first two groups are all that is looked at: a lower bound of what
// such a mechanism loses. With (a, b) of the others' reports in them, c = reports − a − b and others = (α, β, κ),
//
//   P(a, b) = Trinomial_{reports − 1}(a, b) · (κ/c · (p_1 a/α + p_2 b/β) + p_3),  Q likewise.
//
// Where others.rest is 0 one number says all: Binomial_{reports − 1}(a) · (p_1 a/c · β/α + p_2), c = reports − a.
// Outcomes farther than 7 deviations are left out, which only lowers it. Groups that the others never fall into are not
// looked at; others.first and others.second are above 0. `most`: no loss is larger.
LossCells told_by_groups(const GroupLaw& others, const GroupLaw& with, const GroupLaw& without, double reports,
                         double most);

}  // namespace sotto::accountants
