#pragma once
#include <functional>
#include <optional>

#include "accountants/calibrate.h"

namespace sotto::python {

// Where dp-accounting's calibrate_dp_mechanism looks for a parameter.
struct Interval {
  double first, second;
  bool is_explicit;  // otherwise from first to second, and on from there by twice as much each time, 30 times at most
  bool whole;
  std::optional<double> tolerance;  // absolute; without it 1e-4 of the value
};

// The value next to the budget whose ε is at most the target's: calibrate() once it is known which end of the interval
// is the costly one. Throws configuration, saying what the ends cost, where both are on one side of the budget or an
// end is negative.
accountants::Calibration calibrate_within(const accountants::Target& target, const Interval& interval,
                                          const std::function<accountants::EventList(double)>& plan);

}  // namespace sotto::python
