#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace sotto {

// The candidate with the fewest letters inserted, removed or changed (Levenshtein's distance, capitals ignored), or
// nothing when even that one differs in more than half of the letters. For "did you mean …?".
std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace sotto
