#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/tape/grad_samples.h"

namespace sotto {

// What one call of one captured operator used, as seen by the checks.
struct RecordedUse {
  int64_t parameter;
  std::string operation;  // "linear", "embedding", "layer_norm"
  std::vector<int64_t> shape;
};

// Captures uses of the owned parameters at LibTorch's dispatcher while a forward pass runs, and turns one backward pass
// into per-sample gradients. The model is not wrapped and not rewritten: eager C++ modules and TorchScript both pass
// through the dispatcher. The batch is dimension 0 of every captured operator's input; anything else is refused.
class Tape {
 public:
  Tape(const Exec& exec, const Parameters& parameters);
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  // Runs `losses` (forward pass and loss vector, one entry a sample) with capture on, then one backward pass. No
  // gradient summed over samples is ever formed. Throws configuration, naming the parameter, when
  //  - a parameter is used in a way no rule covers (AccumulateGrad reachable in the loss graph),
  //  - the input of a captured operator does not have `batch` as its dimension 0,
  //  - the loss is not a vector of `batch` entries.
  GradSamples per_sample(int64_t batch, const std::function<at::Tensor()>& losses);

  // Memory the tape may spend on stored per-sample gradients, in bytes; beyond it, factors are kept instead.
  void set_storage_limit(int64_t bytes) { storage_limit_ = bytes; }
  // The uses that the last call recorded, in forward order.
  const std::vector<RecordedUse>& uses() const { return uses_; }

  // For the rules (engine/tape/*.cpp).
  struct Recorder;

 private:
  Exec exec_;
  const Parameters& parameters_;
  int64_t storage_limit_ = int64_t{1} << 30;
  std::vector<RecordedUse> uses_;
};

}  // namespace sotto
