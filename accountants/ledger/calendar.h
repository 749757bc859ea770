#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace sotto::accountants {

// Seconds since 1970 in UTC as rows write them, 2026-11-23T13:08:05Z, and back. A text may also be a day alone, which
// means its first second. Throws data for any other text, and for a day that no calendar has.
std::string utc_text(int64_t seconds);
int64_t utc_seconds(std::string_view text);

}  // namespace sotto::accountants
