#pragma once
#include <string_view>

namespace sotto::accountants {

// What "two data sets that differ in one unit" means. add_remove: the unit is there or not. zero_out: its contribution
// is replaced by zero. replace_one: by that of another unit.
enum class NeighbouringRelation { add_remove, replace_one, zero_out };

// "add_remove", "replace_one", "zero_out". Reading an unknown name throws configuration and lists the known ones.
std::string_view to_string(NeighbouringRelation relation);
NeighbouringRelation relation_from_string(std::string_view name);

}  // namespace sotto::accountants
