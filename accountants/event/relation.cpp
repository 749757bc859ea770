#include "accountants/event/relation.h"

#include "base/error.h"

namespace sotto::accountants {

std::string_view to_string(NeighbouringRelation relation) {
  switch (relation) {
    case NeighbouringRelation::add_remove:
      return "add_remove";
    case NeighbouringRelation::replace_one:
      return "replace_one";
    case NeighbouringRelation::zero_out:
      return "zero_out";
  }
  throw Error(ErrorKind::internal, cat("no neighbouring relation has the number ", static_cast<int>(relation)));
}

NeighbouringRelation relation_from_string(std::string_view name) {
  for (const auto relation :
       {NeighbouringRelation::add_remove, NeighbouringRelation::replace_one, NeighbouringRelation::zero_out})
    if (to_string(relation) == name) return relation;
  throw Error(ErrorKind::configuration,
              cat("unknown neighbouring relation \"", name, "\"; known: add_remove, replace_one, zero_out"));
}

}  // namespace sotto::accountants
