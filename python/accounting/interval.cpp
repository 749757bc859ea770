#include "python/accounting/interval.h"

#include <algorithm>
#include <cmath>

#include "accountants/accountant.h"
#include "base/error.h"

namespace sotto::python {
namespace {

constexpr double kGap = 1e-3;         // of the brackets at the ends
constexpr double kLeastShare = 1e-9;  // of an interval that begins at 0, where the search by ratios begins
constexpr int kMostTries = 30;

void check(bool ok, const std::string& message) {
  if (!ok) throw Error(ErrorKind::configuration, message);
}

}  // namespace

accountants::Calibration calibrate_within(const accountants::Target& target, const Interval& interval,
                                          const std::function<accountants::EventList(double)>& plan) {
  accountants::validate(target);
  double low = std::min(interval.first, interval.second), high = std::max(interval.first, interval.second);
  check(low >= 0 && low < high && std::isfinite(high),
        cat("a parameter's interval must begin at 0 or above and not be empty, got ", interval.first, " to ",
            interval.second));
  const auto cost = [&](double value) {
    const auto accountant = accountants::make_fixed_schedule_accountant(target.accountant, target.relation, kGap);
    compose(*accountant, plan(value));
    return accountant->epsilon(target.delta);
  };
  double at_low = cost(low), at_high = cost(high), width = high - low;
  const auto fits = [&](double epsilon) { return epsilon <= target.epsilon; };
  for (int tries = 0; fits(at_low) == fits(at_high) && !interval.is_explicit && tries < kMostTries; ++tries) {
    width *= 2;
    low = high;
    at_low = at_high;
    high += width;
    at_high = cost(high);
  }
  check(
      fits(at_low) != fits(at_high),
      cat("the interval does not hold the answer: ", low, " costs epsilon ", at_low, " and ", high, " costs ", at_high,
          ", both ", fits(at_low) ? "at most" : "above", " the target ", target.epsilon, "; take a wider interval"));
  accountants::Parameter parameter{low > 0 ? low : kLeastShare * high, high, plan};
  parameter.more_costs_less = fits(at_high);
  parameter.whole = interval.whole;
  if (interval.whole) {
    parameter.least = std::max(1.0, std::ceil(low));
    parameter.most = std::max(parameter.least, std::floor(high));
  }
  parameter.guess = std::sqrt(parameter.least * parameter.most);
  if (low == 0) parameter.guess = std::max(parameter.least, high / 2);
  if (interval.tolerance) {
    check(*interval.tolerance > 0, cat("the tolerance must be positive, got ", *interval.tolerance));
    parameter.relative_tolerance = std::clamp(*interval.tolerance / high, 1e-9, 0.1);
  }
  accountants::Calibration found = calibrate(target, parameter);
  // The ends were judged by wider brackets; where the cheaper one only just fits, it may be all there is.
  check(found.fits.has_value(), cat("no value from ", low, " to ", high, " costs at most epsilon ", target.epsilon));
  return found;
}

}  // namespace sotto::python
