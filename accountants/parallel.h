#pragma once
#include <vector>

#include "accountants/accountant.h"

namespace sotto::accountants {

// Several sequences of mechanisms, each on its own part of the data, the parts disjoint: a unit is in one of them, so
// the whole costs what the costliest costs (McSherry 2009, Theorem 4). In which part a unit is may depend on its own
// data, but not on other units'. The sequences may not read each other's data; what they release may be shared where
// every part is limited by a filter or a schedule of its own, fixed before.
//
// Under add_remove and zero_out. Replacing a unit by another may change two parts at once, so replace_one is refused.
// Throws invalid_argument unless there is a part, none is null, and all have one relation, which is not replace_one.
Bracket parallel_epsilon(const std::vector<const Accountant*>& parts, double delta);
Bracket parallel_delta(const std::vector<const Accountant*>& parts, double epsilon);

}  // namespace sotto::accountants
