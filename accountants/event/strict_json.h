#pragma once
#include <nlohmann/json.hpp>
#include <string_view>

namespace sotto::accountants {

// Parses without recursion. Throws data for a text deeper than `deepest` and for a key that stands twice in an object,
// which would have no meaning; what is no JSON comes back discarded.
nlohmann::json parse_strictly(std::string_view text, int deepest);

}  // namespace sotto::accountants
