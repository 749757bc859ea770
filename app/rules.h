#pragma once
#include "app/command.h"
#include "engine/tape/explain.h"

namespace sotto::app {

// The rule for each parameter as --json has it (`rules` of `sotto norms` and `sotto bench step`): name, shape,
// operations, rule, flops, bytes.
Json describe_rules(const std::vector<ParameterRule>& rules);
// The same as a table for people.
std::string rules_table(const std::vector<ParameterRule>& rules);

}  // namespace sotto::app
