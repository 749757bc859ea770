#include "accountants/event/strict_json.h"

#include <set>

#include "accountants/event/nested.h"
#include "base/error.h"

namespace sotto::accountants {

nlohmann::json parse_strictly(std::string_view text, int deepest) {
  using Seen = nlohmann::json::parse_event_t;
  constexpr size_t kShown = 200;
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, Seen seen, nlohmann::json& value) {
    const auto level = static_cast<size_t>(depth);
    if (depth > deepest) throw Error(ErrorKind::data, cat("events may be nested ", Nested::kDeepest, " deep at most"));
    if (seen == Seen::object_start) {
      keys.resize(level + 2);
      keys[level + 1].clear();
    }
    if (seen == Seen::key && !keys[level].insert(value.get<std::string>()).second)
      throw Error(ErrorKind::data, cat("event has the key ", value.dump().substr(0, kShown), " twice"));
    return true;
  };
  return nlohmann::json::parse(text, check, /*allow_exceptions=*/false);
}

}  // namespace sotto::accountants
