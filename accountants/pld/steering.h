#pragma once
#include <cstdint>
#include <vector>

#include "accountants/pld/composed_law.h"

namespace sotto::accountants {

// A rough picture of one use's loss: masses at losses that need not be bounds of anything. It only chooses tilt, step
// and window; the bounds hold for any choice.
struct LossSketch {
  std::vector<double> mass, loss;
  double count;
};

struct Steering {
  Tilt tilt;
  double epsilon, log_delta;  // Chernoff's bound there
  double deviation, width;    // of the tilted sum: standard deviation, and of the window
  bool found;                 // false where no exponent works
};

// For the ε at which δ is met, or for the δ at a given ε.
Steering steer_to_delta(const std::vector<LossSketch>& sketches, double delta, double tail);
Steering steer_to_epsilon(const std::vector<LossSketch>& sketches, double epsilon, double tail);

}  // namespace sotto::accountants
