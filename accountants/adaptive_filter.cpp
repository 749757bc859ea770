#include "accountants/adaptive_filter.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace sotto::accountants {
namespace {

void check(double value, const char* name) {
  require(std::isfinite(value) && value > 0, "a budget's ", name, " must be finite and above 0, got ", value);
}

}  // namespace

AdaptiveFilter::AdaptiveFilter(RdpBudget budget, NeighbouringRelation relation)
    : tally_(Currency::rdp, relation, budget.orders), one_line_suffices_(true) {
  require(!budget.orders.empty() && budget.orders.size() == budget.rdp.size(),
          "a budget needs one bound an order: ", budget.rdp.size(), " for ", budget.orders.size(), " orders");
  for (const double each : budget.rdp) {
    require(each >= 0, "a budget's RDP must be at least 0, got ", each);
    // An order without a bound can hold nothing in: it is left out.
    limits_.push_back(std::isinf(each) ? Spend() : Spend::at_most(each));
  }
}

AdaptiveFilter::AdaptiveFilter(ZcdpBudget budget, NeighbouringRelation relation)
    : tally_(Currency::zcdp, relation), one_line_suffices_(false) {
  check(budget.rho, "rho");
  require(budget.delta >= 0 && budget.delta < 1, "a budget's delta must be at least 0 and below 1, got ", budget.delta);
  limits_ = {Spend::at_most(budget.rho), Spend::at_most(budget.delta)};
}

AdaptiveFilter::AdaptiveFilter(GdpBudget budget, NeighbouringRelation relation)
    : tally_(Currency::gdp, relation), one_line_suffices_(false) {
  check(budget.mu, "mu");
  limits_ = {Spend::at_most(square_down(budget.mu))};
}

bool AdaptiveFilter::within(const std::vector<Spend>& lines) const {
  size_t kept = 0;
  for (size_t i = 0; i < lines.size(); ++i) kept += !lines[i].unbounded() && lines[i] <= limits_[i];
  return one_line_suffices_ ? kept > 0 : kept == lines.size();
}

bool AdaptiveFilter::try_charge(const Event& event, int64_t count) {
  if (!within(tally_.preview(event, count))) return false;
  tally_.commit();
  return true;
}

int64_t AdaptiveFilter::uses_that_fit(const Event& event) {
  constexpr int64_t kMost = int64_t{1} << 52;  // half of what the tally counts of one event
  const auto fits = [&](int64_t count) { return within(tally_.preview(event, count)); };
  if (fits(kMost)) return kMost;
  int64_t most = 0, too_many = kMost;
  while (too_many - most > 1) {
    const int64_t middle = most + (too_many - most) / 2;
    (fits(middle) ? most : too_many) = middle;
  }
  return most;
}

}  // namespace sotto::accountants
