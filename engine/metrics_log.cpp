#include "engine/metrics_log.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"

namespace sotto {

MetricsLog::MetricsLog(const std::filesystem::path& path, uint64_t steps) : path_(path) {
  std::ifstream in(path);
  std::string kept, line;
  while (std::getline(in, line)) {
    const auto object = nlohmann::json::parse(line, nullptr, false);  // a crash may have cut the last line
    if (object.is_object() && object.value("step", UINT64_MAX) <= steps) kept += line + "\n";
  }
  write_file(path, kept);
}

void MetricsLog::append(const nlohmann::json& line) const {
  append_line(path_, line.dump());
}

}  // namespace sotto
