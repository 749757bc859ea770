#include "app/rules.h"

#include "app/table.h"
#include "base/error.h"
#include "report/numbers.h"

namespace sotto::app {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t length : shape) text += (text.empty() ? "" : "×") + std::to_string(length);
  return text.empty() ? "scalar" : text;
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
  return table(rows, 3);
}

}  // namespace sotto::app
