#pragma once
#include <cstdint>
#include <vector>

#include "engine/torch.h"

namespace sotto {

// What the operator may look at and nobody else: none of it is noised.
struct StepDiagnostics {
  int64_t batch_size = 0, clipped = 0, non_finite = 0;
  double mean_loss = 0;  // over the samples with a finite loss
};

// What a step saw of each unit, still where it was computed. Reading waits for the device: nobody reads before the
// update is on its way, unless the update depends on it.
class StepTrace {
 public:
  // Of some units each: their norms in double, their least factor in float.
  void add(at::Tensor norms, at::Tensor factors);
  void add_losses(at::Tensor losses);

  StepDiagnostics diagnostics() const;
  // Σ ½ for a unit within `clip_norm`, -½ for any other.
  double below(double clip_norm) const;

 private:
  std::vector<at::Tensor> norms_, factors_, losses_;
};

}  // namespace sotto
