#pragma once
#include <memory>

#include "base/view.h"
#include "cuda/exec.h"

namespace sotto {

// cuRAND's Philox4x32-10 by its host interface, as a yardstick for sotto's own generator: no protection comes from it.
// The library is loaded when the first generator is made, so that nothing else needs it. Throws cuda where it is not
// there or refuses.
class CurandNormals {
 public:
  CurandNormals(const Exec& exec, uint64_t seed);
  // out[i] = stddev · a standard normal; an even number of them, on the device.
  void fill(float stddev, VectorView<float> out) const;

 private:
  struct Library;
  struct Generator;
  std::shared_ptr<const Generator> generator_;
};

}  // namespace sotto
