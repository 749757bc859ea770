#include "app/rules.h"

#include <algorithm>

#include "base/error.h"
#include "report/numbers.h"

namespace sotto::app {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t length : shape) text += (text.empty() ? "" : "×") + std::to_string(length);
  return text.empty() ? "scalar" : text;
}

// Signs, not bytes: × takes two.
size_t width(const std::string& text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

Json describe_rules(const std::vector<ParameterRule>& rules) {
  Json list = Json::array();
  for (const ParameterRule& rule : rules)
    list.push_back({{"name", rule.name},
                    {"shape", rule.shape},
                    {"operations", rule.operations},
                    {"rule", rule.rule},
                    {"flops", rule.flops},
                    {"bytes", rule.bytes}});
  return list;
}

std::string rules_table(const std::vector<ParameterRule>& rules) {
  std::vector<std::vector<std::string>> rows = {{"parameter", "shape", "rule", "MFLOP", "MiB"}};
  for (const ParameterRule& rule : rules)
    rows.push_back({rule.name, shape_text(rule.shape), rule.rule, report::rounded(rule.flops * 1e-6, 3),
                    report::rounded(rule.bytes / (1 << 20), 3)});
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows)
    for (size_t column = 0; column < row.size(); ++column)
      widths[column] = std::max(widths[column], width(row[column]));
  std::string text;
  for (const auto& row : rows) {
    for (size_t column = 0; column < row.size(); ++column) {
      const std::string space(widths[column] - width(row[column]), ' ');
      const bool number = column >= 3;
      text += (column > 0 ? "  " : "") + (number ? space + row[column] : row[column] + space);
    }
    text += "\n";
  }
  text.pop_back();
  return text;
}

}  // namespace sotto::app
