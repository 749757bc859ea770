#pragma once
#include <cstdint>
#include <filesystem>

#include <nlohmann/json_fwd.hpp>

namespace sotto {

// A JSONL file with one object a line, each with a "step". docs/formats/metrics.md lists the fields.
class MetricsLog {
 public:
  // Keeps the lines of steps up to `steps` and drops the others: what a crash left beyond the checkpoint is written
  // again.
  MetricsLog(const std::filesystem::path& path, uint64_t steps);
  void append(const nlohmann::json& line) const;

 private:
  std::filesystem::path path_;
};

}  // namespace sotto
