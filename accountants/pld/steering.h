#pragma once
#include <cstdint>
#include <vector>

#include "accountants/pld/composed_law.h"
#include "accountants/pld/loss_law.h"

namespace sotto::accountants {

struct SketchedUses {
  LossSketch sketch;
  double count;
};

struct Steering {
  Tilt tilt;
  double epsilon, log_delta;  // Chernoff's bound there
  double deviation, width;    // of the tilted sum: standard deviation, and of the window
  bool found;                 // false where no exponent works
};

// For the ε at which δ is met, or for the δ at a given ε.
Steering steer_to_delta(const std::vector<SketchedUses>& uses, double delta, double tail);
Steering steer_to_epsilon(const std::vector<SketchedUses>& uses, double epsilon, double tail);

// By what all counts may be multiplied until Chernoff's bound of δ(epsilon) is delta.
double multiple_that_fits(const std::vector<SketchedUses>& uses, double epsilon, double delta);

}  // namespace sotto::accountants
