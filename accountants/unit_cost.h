#pragma once
#include <cstdint>

#include "accountants/directed.h"

namespace sotto::accountants {

// What one use of a mechanism costs, as numerator / divisor: n/σ² of a hundred uses at σ = 10 is then exactly 1, where
// a hundred times the rounded 1/σ² would be more.
struct UnitCost {
  double numerator = 0, divisor = 1;

  // Of `count` ≤ 2^53 uses, rounded up; +infinity where the divisor is 0.
  double of(int64_t count) const { return divide_up(times_up(static_cast<double>(count), numerator), divisor); }
};

}  // namespace sotto::accountants
