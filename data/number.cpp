#include "data/number.h"

#include <charconv>
#include <cmath>

namespace sotto::data {
namespace {

std::string_view trim(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

std::optional<double> plain(std::string_view text) {
  text = trim(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);  // from_chars takes no plus sign
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

}  // namespace

std::optional<double> parse_number(std::string_view cell, bool midpoint) {
  cell = trim(cell);
  const bool interval = midpoint && cell.size() > 2 && (cell.front() == '[' || cell.front() == '(') &&
                        (cell.back() == ']' || cell.back() == ')');
  if (!interval) return plain(cell);
  const std::string_view inside = cell.substr(1, cell.size() - 2);
  const size_t dash = inside.find('-', 1);  // one at the front is the lower end's sign
  if (dash == inside.npos) return std::nullopt;
  const auto low = plain(inside.substr(0, dash)), high = plain(inside.substr(dash + 1));
  if (!low || !high || *low > *high) return std::nullopt;
  return *low + (*high - *low) / 2;
}

}  // namespace sotto::data
