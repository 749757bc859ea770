#include "data/grouping.h"

#include <charconv>

#include "base/error.h"

namespace sotto::data {
namespace {

// The whole part of "459.81"; false for anything else than digits with at most one point.
bool whole_part(std::string_view code, int64_t& whole) {
  const char* end = code.data() + code.size();
  const auto [stop, error] = std::from_chars(code.data(), end, whole);
  if (error != std::errc() || whole < 0 || (stop != end && *stop != '.')) return false;
  return stop == end || std::string_view(stop + 1, end).find_first_not_of("0123456789") == std::string_view::npos;
}

bool holds(const CodeGroup& group, std::string_view code, bool numbered, int64_t whole) {
  for (const std::string& prefix : group.prefixes)
    if (code.starts_with(prefix)) return true;
  for (const CodeGroup::Range& range : group.ranges)
    if (numbered && range.first <= whole && whole <= range.last) return true;
  return false;
}

}  // namespace

size_t Grouping::find(std::string_view code) const {
  int64_t whole = 0;
  const bool numbered = whole_part(code, whole);
  size_t g = 0;
  while (g < groups.size() && !holds(groups[g], code, numbered, whole)) ++g;
  return g;
}

CodeGroup::Range parse_range(std::string_view text, const std::string& place) {
  const size_t dash = text.find('-');
  const std::string_view first = text.substr(0, dash), last = dash == text.npos ? first : text.substr(dash + 1);
  CodeGroup::Range range{};
  const bool digits = !first.empty() && !last.empty() && first.find('.') == text.npos && last.find('.') == text.npos;
  if (!digits || !whole_part(first, range.first) || !whole_part(last, range.last) || range.first > range.last)
    throw Error(ErrorKind::configuration,
                cat(place, ": \"", text, "\" is not a range of codes; write \"390-459\" or \"250\""));
  return range;
}

}  // namespace sotto::data
