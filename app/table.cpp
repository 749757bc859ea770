#include "app/table.h"

#include <algorithm>

namespace sotto::app {
namespace {

// Signs, not bytes: × takes two.
size_t width(const std::string& text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

std::string table(const std::vector<std::vector<std::string>>& rows, size_t numbers) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (size_t column = 0; column < row.size(); ++column)
      widths[column] = std::max(widths[column], width(row[column]));
  }
  std::string text;
  for (const auto& row : rows) {
    if (!text.empty()) text += "\n";
    for (size_t column = 0; column < row.size(); ++column) {
      const std::string space(widths[column] - width(row[column]), ' ');
      text += (column > 0 ? "  " : "") + (column >= numbers ? space + row[column] : row[column] + space);
    }
  }
  return text;
}

}  // namespace sotto::app
