#include "accountants/pld/shuffled_groups.h"

#include <algorithm>
#include <cmath>

#include "accountants/binomial.h"
#include "accountants/pld/listed_law.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kFarthest = 7;  // deviations

bool is_near(const BinomialMasses& masses, double trials, double probability, size_t i) {
  const double deviation = std::sqrt(trials * probability * (1 - probability)) + 1;
  return std::abs(masses.first + static_cast<double>(i) - trials * probability) < kFarthest * deviation;
}

// How far log P/Q goes from 0 where counts are `deviations` from their means: a first guess of the bins' range.
double range_of(const GroupLaw& others, const GroupLaw& with, const GroupLaw& without, double reports, double most) {
  const auto term = [&](double p, double q, double share) {
    return share > 0 ? std::abs(p - q) * (2 * kFarthest * std::sqrt(reports * share) + 8) / (reports * share) : 0.0;
  };
  const double sum = term(with.first, without.first, others.first) + term(with.second, without.second, others.second) +
                     term(with.rest, without.rest, others.rest);
  return std::min(most, 2 * sum + 1e-9) * (1 + 1e-9);
}

}  // namespace

LossCells told_by_groups(const GroupLaw& others, const GroupLaw& with, const GroupLaw& without, double reports,
                         double most) {
  require(others.first > 0 && others.second > 0 && reports >= 2, "groups that others never fall into tell too much");
  LossBins bins(range_of(others, with, without, reports, most));
  const auto add = [&](double mass, double p, double q) {
    if (p > 0 && q > 0) bins.add(mass * p, mass * q, std::log(p / q));
  };
  if (others.rest <= 0) {
    const BinomialMasses masses(reports - 1, others.first);
    for (size_t i = 0; i < masses.mass.size(); ++i) {
      if (!is_near(masses, reports - 1, others.first, i)) continue;
      const double a = masses.first + static_cast<double>(i), moved = a / (reports - a) * others.second / others.first;
      add(masses.mass[i], with.first * moved + with.second, without.first * moved + without.second);
    }
    return bins.merged();
  }
  const double looked_at = others.first + others.second;
  const BinomialMasses totals(reports - 1, looked_at);
  for (size_t t = 0; t < totals.mass.size(); ++t) {
    if (!is_near(totals, reports - 1, looked_at, t)) continue;
    const double total = totals.first + static_cast<double>(t), moved = others.rest / (reports - total);
    const BinomialMasses one(total, others.first / looked_at);
    for (size_t i = 0; i < one.mass.size(); ++i) {
      if (!is_near(one, total, others.first / looked_at, i)) continue;
      const double a = one.first + static_cast<double>(i), b = total - a;
      const auto density = [&](const GroupLaw& law) {
        return moved * (law.first * a / others.first + law.second * b / others.second) + law.rest;
      };
      add(totals.mass[t] * one.mass[i], density(with), density(without));
    }
  }
  return bins.merged();
}

}  // namespace sotto::accountants
