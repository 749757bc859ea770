#include "accountants/odometer.h"

#include <cmath>
#include <limits>

#include "accountants/budget.h"
#include "accountants/rdp/conversion.h"
#include "accountants/rdp/orders.h"
#include "accountants/zcdp/conversion.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kLastEpsilon = 1e6;

std::vector<double> orders_of(Currency currency) {
  return currency == Currency::rdp ? filter_orders() : std::vector<double>();
}

// The lines that hold (epsilon, delta), zero where none above does.
std::vector<Spend> limits(Currency currency, double epsilon, double delta) {
  if (currency == Currency::zcdp) return {Spend::at_most(largest_rho(epsilon, delta)), Spend()};
  if (currency == Currency::gdp) return {Spend::at_most(square_down(GdpBudget::holding(epsilon, delta).mu))};
  const auto& orders = filter_orders();
  std::vector<Spend> found;
  for (const double order : orders)
    found.push_back(Spend::at_most(largest_rdp(order, epsilon, delta / static_cast<double>(orders.size()))));
  return found;
}

}  // namespace

Odometer::Odometer(Currency currency, NeighbouringRelation relation, double delta, Ladder ladder)
    : tally_(currency, relation, orders_of(currency)), currency_(currency), delta_(delta), ladder_(ladder) {
  require(delta > 0 && delta < 1, "delta must be above 0 and below 1, got ", delta);
  require(ladder.first_epsilon > 0 && ladder.first_epsilon <= kLastEpsilon,
          "first_epsilon must be above 0 and at most ", kLastEpsilon, ", got ", ladder.first_epsilon);
  require(ladder.ratio >= 1.01 && ladder.ratio <= 10, "the ratio must be between 1.01 and 10, got ", ladder.ratio);
}

double Odometer::rung_epsilon() const {
  return ladder_.first_epsilon * std::pow(ladder_.ratio, rung_);
}

void Odometer::climb() {
  ++rung_;
  // Rounded down, so that the shares add up to no more than δ.
  const double share = delta_ / ((rung_ + 1.0) * (rung_ + 2.0)) * (1 - 4 * std::numeric_limits<double>::epsilon());
  limits_ = limits(currency_, rung_epsilon(), share);
}

bool Odometer::holds() const {
  const auto& lines = tally_.lines();
  size_t kept = 0;
  for (size_t i = 0; i < lines.size(); ++i) kept += lines[i] <= limits_[i];
  return currency_ == Currency::rdp ? kept > 0 : kept == lines.size();
}

void Odometer::charge(const Event& event, int64_t count) {
  const auto lines = tally_.preview(event, count);
  bool anything = false, bounded = false;
  for (const Spend& line : lines) {
    anything = anything || line > Spend();
    bounded = bounded || !line.unbounded();
  }
  tally_.commit();
  if (!anything) return;
  if (rung_ < 0) climb();
  while (bounded && rung_epsilon() <= kLastEpsilon && !holds()) climb();
  shown_ = bounded && rung_epsilon() <= kLastEpsilon ? rung_epsilon() : std::numeric_limits<double>::infinity();
}

}  // namespace sotto::accountants
