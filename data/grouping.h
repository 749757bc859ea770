#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sotto::data {

// One group of codes. A range "390-459" holds every code whose whole part lies in it (459.81 does); a range may be one
// number. A prefix "V" holds every code that starts with it.
struct CodeGroup {
  struct Range {
    int64_t first, last;
  };
  std::string name;
  std::vector<Range> ranges;
  std::vector<std::string> prefixes;
};

// A published table from codes (ICD-9-CM, ATC, …) to groups.
struct Grouping {
  std::string name, source;
  std::vector<CodeGroup> groups;

  // The first group that holds the code, or groups.size() for a code that none holds.
  size_t find(std::string_view code) const;
};

// "390-459" or "250". Throws configuration, naming `place`, when the text is neither or the range is empty.
CodeGroup::Range parse_range(std::string_view text, const std::string& place);

}  // namespace sotto::data
