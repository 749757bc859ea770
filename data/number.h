#pragma once
#include <optional>
#include <string_view>

namespace sotto::data {

// The finite decimal number that the whole cell is, blanks around it aside; with `midpoint` also an interval "[70-80)"
// (either bracket on either side), as its middle. Nothing for "nan", "inf", "1,5", "0x1F" and whatever else.
std::optional<double> parse_number(std::string_view cell, bool midpoint);

}  // namespace sotto::data
