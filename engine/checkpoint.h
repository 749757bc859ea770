#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "engine/torch.h"

namespace sotto {

// Everything a run needs to continue: noised values and public numbers only. docs/formats/checkpoint.md has the layout.
struct Checkpoint {
  uint64_t next_step = 0;  // steps below it are in the weights
  std::string run_id;
  std::string key_id;       // names the run key without revealing it
  std::string replay_hash;  // of all that must match for lost steps to be replayed: see replay_hash()
  std::map<std::string, at::Tensor> parameters, optimizer;
  std::optional<double> clip_norm = std::nullopt;  // where an adaptive one has come to
};

void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);
// Throws io when missing, data when damaged or of another format.
Checkpoint read_checkpoint(const std::filesystem::path& path);

}  // namespace sotto
