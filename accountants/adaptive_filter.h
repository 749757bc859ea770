#pragma once
#include <cstdint>
#include <vector>

#include "accountants/budget.h"
#include "accountants/event.h"
#include "accountants/spend_tally.h"

namespace sotto::accountants {

// Limits a sequence of mechanisms each of which may be chosen after looking at what the former released: noise, rate,
// number of steps, which query comes next. Whatever was chosen, all that was charged together keeps the budget's
// guarantee (see budget.h for the theorems). Made from a budget and nothing else: a running ε of an accountant cannot
// be one, since stopping when a privacy loss distribution meets ε is not private where steps depend on results (arXiv
// 2602.06756). A schedule known in advance is a FixedSchedule, and costs less.
//
// What the choice may depend on: released outputs and public facts. A parameter read off the private data themselves is
// outside every theorem here. Costs are rounded up, the budget down; what fits to the last bit is accepted.
class AdaptiveFilter {
 public:
  // Throws invalid_argument unless the budget is above 0, and one value an order for RDP.
  AdaptiveFilter(RdpBudget budget, NeighbouringRelation relation);
  AdaptiveFilter(ZcdpBudget budget, NeighbouringRelation relation);
  AdaptiveFilter(GdpBudget budget, NeighbouringRelation relation);
  // A second one would spend the same budget twice.
  AdaptiveFilter(const AdaptiveFilter&) = delete;
  AdaptiveFilter& operator=(const AdaptiveFilter&) = delete;

  NeighbouringRelation relation() const { return tally_.relation(); }
  bool supports(const Event& event) const { return tally_.supports(event); }

  // Charges `count` uses of the event before they are run, and says true; or says false and charges nothing: they must
  // not be run then, a cheaper event may still fit. Throws, charging nothing, when the event is invalid or of a kind
  // that the budget does not take (configuration), or count is not between 0 and 2^53 (invalid_argument).
  [[nodiscard]] bool try_charge(const Event& event, int64_t count = 1);

  // How many more uses of the event fit now, at most 2^52.
  int64_t uses_that_fit(const Event& event);

 private:
  bool within(const std::vector<Spend>& lines) const;

  SpendTally tally_;
  std::vector<Spend> limits_;  // a line of the tally each
  bool one_line_suffices_;     // of RDP's orders; zCDP's ρ and δ must both hold
};

}  // namespace sotto::accountants
