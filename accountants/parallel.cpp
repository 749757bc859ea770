#include "accountants/parallel.h"

#include <algorithm>

#include "base/error.h"

namespace sotto::accountants {
namespace {

template <class Answer>
Bracket costliest(const std::vector<const Accountant*>& parts, const Answer& answer) {
  require(!parts.empty(), "parallel composition needs at least one part");
  Bracket worst{0, 0};
  for (const Accountant* part : parts) {
    require(part != nullptr, "a part of a parallel composition is null");
    require(part->relation() == parts.front()->relation(),
            "the parts of a parallel composition have one relation; got ", to_string(part->relation()), " and ",
            to_string(parts.front()->relation()));
    require(part->relation() != NeighbouringRelation::replace_one,
            "replacing a unit may change two disjoint parts: parallel composition is for add_remove and zero_out");
    const Bracket cost = answer(*part);
    worst = {std::max(worst.lower, cost.lower), std::max(worst.upper, cost.upper)};
  }
  return worst;
}

}  // namespace

Bracket parallel_epsilon(const std::vector<const Accountant*>& parts, double delta) {
  return costliest(parts, [&](const Accountant& part) { return part.epsilon_bracket(delta); });
}

Bracket parallel_delta(const std::vector<const Accountant*>& parts, double epsilon) {
  return costliest(parts, [&](const Accountant& part) { return part.delta_bracket(epsilon); });
}

}  // namespace sotto::accountants
