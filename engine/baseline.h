#pragma once
#include "engine/dataset.h"
#include "engine/train_config.h"

namespace sotto {

struct BaselineConfig {
  int64_t epochs = 20, batch = 1024;
  double learning_rate = 5e-3;
};

// Trains the same architecture WITHOUT privacy (shuffled batches, Adam, LibTorch's own gradients) for comparison, and
// returns it. Its results are listed as not covered by the certificate, and the model is never written to disk.
Model train_baseline(const ModelSpec& spec, const Dataset& train, const BaselineConfig& config, const RunKey& key);

}  // namespace sotto
