#pragma once
#include <optional>

#include "accountants/pld/spectrum.h"

namespace sotto::accountants {

// Where the sum of a group is looked at: the exponent θ that sums of groups are tilted by, −log of the P mass that may
// be lost at its top, and how coarse a grid it is put onto: i · step for all i.
struct GroupView {
  double theta, log_tail, step;
  size_t largest_transform;
};

// All uses of a part as one use of a law. Their sum has been found by transforms: above, each mass is raised by what
// rounding may have taken from it, and what lies outside the window is at infinity or at the window's first level;
// below, each mass is lowered by what rounding and the window's ends may have added. Then it is put onto the coarser
// grid, as GridBuilder does. So n uses cost n/k times the coarse grid's widening and n times the fine grid's, where on
// one grid the window of all must be cut as finely as a single use. Nothing where θ is below 0, the window is too large
// or losses leave the range of doubles.
std::optional<BracketedLaw> as_one_use(const LawPart& part, const GroupView& view);

}  // namespace sotto::accountants
