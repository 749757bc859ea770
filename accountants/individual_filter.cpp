#include "accountants/individual_filter.h"

#include <algorithm>
#include <cmath>

#include "accountants/directed.h"
#include "accountants/rdp/sampled_gaussian.h"
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

IndividualFilter::IndividualFilter(int64_t units, const RdpBudget& budget) : IndividualFilter(units, 0.0) {
  require(budget.orders.size() == 1 && budget.rdp.size() == 1, "individual budgets are of one order, got ",
          budget.orders.size());
  require(budget.orders[0] >= 1.001 && budget.orders[0] <= 0x1p20, "the order must be between 1.001 and 2^20, got ",
          budget.orders[0]);
  order_ = budget.orders[0];
  rdp_ = check(budget.rdp[0], "rdp");
}

template <class Part>
void IndividualFilter::charge(std::span<const int64_t> units, std::span<const float> shares,
                              std::span<uint8_t> admitted, const Part& part) {
  require(units.size() == shares.size() && units.size() == admitted.size(),
          "need a share and an answer a unit: ", shares.size(), " and ", admitted.size(), " for ", units.size(),
          " units");
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
  for (size_t i = 0; i < marked; ++i) {
    uint64_t& spent = spent_[static_cast<size_t>(units[i])];
    spent &= ~kListed;
    if (wrong != nullptr) continue;
    const double cost = part(shares[i]);
    const bool fits = cost <= 1 && static_cast<uint64_t>(std::ceil(cost * 0x1p62)) <= kBudget - spent;
    if (fits) spent += static_cast<uint64_t>(std::ceil(cost * 0x1p62));
    admitted[i] = fits;
  }
  // The message names the place in the list, not the unit's data.
  require(wrong == nullptr, "unit ", wrong == nullptr ? 0 : units[marked], " at place ", marked, " ",
          wrong == nullptr ? "" : wrong);
}

void IndividualFilter::admit(std::span<const int64_t> units, std::span<const float> shares, double noise_multiplier,
                             std::span<uint8_t> admitted) {
  require(std::isfinite(noise_multiplier) && noise_multiplier >= 0,
          "noise_multiplier must be finite and at least 0, got ", noise_multiplier);
  // Of the budget, for a share of 1: 1/σ² of μ², α/2σ² of R(α).
  const double precision = divide_up(1, square_down(noise_multiplier));
  const double whole =
      order_ == 0 ? divide_up(precision, mu_squared_) : divide_up(times_up(order_ / 2, precision), rdp_);
  charge(units, shares, admitted, [&](double share) { return times_up(share * share, whole); });  // of a float: exact
}

void IndividualFilter::admit_to_sample(std::span<const int64_t> units, std::span<const float> shares,
                                       double noise_multiplier, double sample_rate, std::span<uint8_t> admitted) {
  require(order_ > 0, "sampled steps need a budget at an order: RdpBudget");
  require(std::isfinite(noise_multiplier) && noise_multiplier >= 0,
          "noise_multiplier must be finite and at least 0, got ", noise_multiplier);
  require(sample_rate >= 0 && sample_rate <= 1, "sample_rate must be between 0 and 1, got ", sample_rate);
  constexpr double kLevels = 256;
  std::vector<double> parts(static_cast<size_t>(kLevels) + 1, -1);  // by share, found when first asked for
  parts[0] = 0;
  charge(units, shares, admitted, [&](double share) {
    const double level = std::ceil(share * kLevels);
    double& part = parts[static_cast<size_t>(level)];
    if (part < 0) {
      const double noise = std::nextafter(noise_multiplier * (kLevels / level), 0.0);
      part = divide_up(rdp_sampled_gaussian(noise, sample_rate, order_), rdp_);
    }
    return part;
  });
}

}  // namespace sotto::accountants
