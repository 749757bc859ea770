#include "accountants/individual_filter.h"

#include <algorithm>
#include <cmath>

#include "accountants/directed.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr uint64_t kListed = uint64_t{1} << 63;

double check(double budget, const char* name) {
  require(std::isfinite(budget) && budget > 0, "a budget's ", name, " must be finite and above 0, got ", budget);
  return budget;
}

double without_delta(const ZcdpBudget& budget) {
  require(budget.delta == 0, "individual budgets are of pure zCDP, got a delta of ", budget.delta);
  return 2 * check(budget.rho, "rho");
}

}  // namespace

IndividualFilter::IndividualFilter(int64_t units, double mu_squared) : mu_squared_(mu_squared) {
  require(units >= 0, "the number of units must be at least 0, got ", units);
  spent_.resize(static_cast<size_t>(units));
}

IndividualFilter::IndividualFilter(int64_t units, ZcdpBudget budget) : IndividualFilter(units, without_delta(budget)) {}

IndividualFilter::IndividualFilter(int64_t units, GdpBudget budget)
    : IndividualFilter(units, square_down(check(budget.mu, "mu"))) {}

void IndividualFilter::admit(std::span<const int64_t> units, std::span<const float> shares, double noise_multiplier,
                             std::span<uint8_t> admitted) {
  require(units.size() == shares.size() && units.size() == admitted.size(),
          "need a share and an answer a unit: ", shares.size(), " and ", admitted.size(), " for ", units.size(),
          " units");
  require(std::isfinite(noise_multiplier) && noise_multiplier >= 0,
          "noise_multiplier must be finite and at least 0, got ", noise_multiplier);
  // The first pass only marks: whatever is wrong is found before anybody is charged.
  size_t marked = 0;
  const char* wrong = nullptr;
  for (; marked < units.size() && wrong == nullptr; ++marked) {
    const int64_t unit = units[marked];
    if (unit < 0 || unit >= this->units())
      wrong = "is not among the known units";
    else if (spent_[static_cast<size_t>(unit)] & kListed)
      wrong = "is listed twice";
    else if (!(shares[marked] >= 0 && shares[marked] <= 1))
      wrong = "has a share that is not between 0 and 1";
    if (wrong != nullptr) break;
    spent_[static_cast<size_t>(unit)] |= kListed;
  }
  const double whole = divide_up(divide_up(1, square_down(noise_multiplier)), mu_squared_);  // of the budget, share 1
  for (size_t i = 0; i < marked; ++i) {
    uint64_t& spent = spent_[static_cast<size_t>(units[i])];
    spent &= ~kListed;
    if (wrong != nullptr) continue;
    const double share = shares[i], part = times_up(share * share, whole);  // the square of a float is exact
    const bool fits = part <= 1 && static_cast<uint64_t>(std::ceil(part * 0x1p62)) <= kBudget - spent;
    if (fits) spent += static_cast<uint64_t>(std::ceil(part * 0x1p62));
    admitted[i] = fits;
  }
  // The message names the place in the list, not the unit's data.
  require(wrong == nullptr, "unit ", wrong == nullptr ? 0 : units[marked], " at place ", marked, " ",
          wrong == nullptr ? "" : wrong);
}

}  // namespace sotto::accountants
