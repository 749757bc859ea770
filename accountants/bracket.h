#pragma once

namespace sotto::accountants {

// A number known from both sides: lower ≤ truth ≤ upper.
struct Bracket {
  double lower, upper;
};

}  // namespace sotto::accountants
