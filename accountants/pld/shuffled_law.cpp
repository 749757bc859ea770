#include "accountants/pld/shuffled_law.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "accountants/binomial.h"
#include "accountants/pld/listed_law.h"
#include "accountants/pld/numerics.h"
#include "accountants/pld/shuffled_bits.h"
#include "accountants/pld/shuffled_channel_law.h"
#include "accountants/pld/shuffled_groups.h"
#include "accountants/pld/upper_bound_law.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kMostEpsilon = 50, kMostBits = 1e6, kMostReports = 2e5;
constexpr double kMostOfACategory = 4e4;  // windows of two categories grow with it
constexpr double kPruned = 1e-23;         // outcomes as rare as that are not looked at, and count as lost
constexpr double kDeviations = 12;        // from the mean, within which losses are told apart
constexpr double kShareOfKnown = 2e-3;    // of the blanket reports: how many may be in a block

// Calls visit(least of the block, its mass).
template <class Visit>
void for_each_block(const BinomialMasses& masses, size_t size, const Visit& visit) {
  for (size_t i = 0; i < masses.mass.size(); i += size) {
    double mass = 0;
    for (size_t j = i; j < std::min(i + size, masses.mass.size()); ++j) mass += masses.mass[j];
    visit(masses.first + static_cast<double>(i), mass);
  }
}

size_t block_size(double known, double deviation) {
  return static_cast<size_t>(std::max(1.0, std::min(deviation, kShareOfKnown * known)));
}

LossCells blanket(double epsilon, double categories, double reports) {
  const double grown = std::expm1(epsilon), rate = categories / (grown + categories);  // k r
  const double mean = (reports - 1) * rate, deviation = std::sqrt(mean * (1 - rate));
  const BinomialMasses known(reports - 1, rate);
  const double few = std::max(1.0, mean - kDeviations * deviation), each = few / categories;
  const double reach = kDeviations * std::sqrt(each * (1 - 1 / categories)) + 4;
  LossBins bins(
      std::min(epsilon, std::log((few + grown * (each + reach)) / (few + grown * std::max(0.0, each - reach)))) *
      (1 + 1e-9));
  std::vector<double> logs;  // log(m + (e^ε − 1) a)
  for_each_block(known, block_size(mean, deviation), [&](double others, double mass) {
    if (mass < kPruned) return bins.add_far(mass, mass);
    const double m = others + 1;
    logs.resize(static_cast<size_t>(m) + 1);
    for (size_t a = 0; a < logs.size(); ++a) logs[a] = std::log(m + grown * static_cast<double>(a));
    const auto pair_of = [&](double total, double weight) {
      if (weight < kPruned) return bins.add_far(weight * std::exp(epsilon), weight * std::exp(epsilon));
      const BinomialMasses one(total, 0.5);
      for (size_t i = 0; i < one.mass.size(); ++i) {
        const double a = one.first + static_cast<double>(i), b = total - a, here = weight * one.mass[i] * rate / m;
        const double p = here * (m + grown * a), q = here * (m + grown * b);
        if (weight * one.mass[i] < kPruned)
          bins.add_far(p, q);
        else
          bins.add(p, q, logs[static_cast<size_t>(a)] - logs[static_cast<size_t>(b)]);
      }
    };
    const BinomialMasses in_question(m, 2 / categories);
    for (size_t i = 0; i < in_question.mass.size(); ++i)
      pair_of(in_question.first + static_cast<double>(i), mass * in_question.mass[i]);
  });
  return bins.split();
}

// The others hold a third category, or one of the two.
LossCells attained(double epsilon, double categories, double reports) {
  const double grown = std::exp(epsilon), lie = 1 / (grown + categories - 1), truth = grown * lie;
  if (categories == 2) return told_by_groups({lie, truth, 0}, {truth, lie, 0}, {lie, truth, 0}, reports, epsilon);
  const double neither = 1 - truth - lie;
  return told_by_groups({lie, lie, 1 - 2 * lie}, {truth, lie, neither}, {lie, truth, neither}, reports, epsilon);
}

// The blanket's pair where there are too many reports to list what they say: X is k e^ε r on the unit's own category
// and k r on others.
LossCells blanket_of_many(double epsilon, double categories, double reports) {
  const double rate = categories / (std::expm1(epsilon) + categories), share = rate / categories;
  const double low = rate, high = rate * std::exp(epsilon);
  return over_blanket({flat_cell(1 - rate, 0, 0), flat_cell(share, high, low), flat_cell(share, low, high),
                       flat_cell(rate - 2 * share, low, low)},
                      rate, reports, epsilon);
}

LossCells clones(double epsilon, double reports) {
  const double clone = std::exp(-epsilon);
  const double truth = 1 / (1 + clone), lie = clone * truth;
  const double rate = std::min(clone, 1 - 1e-9);  // fewer clones hide less
  const double mean = (reports - 1) * rate, deviation = std::sqrt(mean * (1 - rate));
  const double few = std::max(1.0, mean - kDeviations * deviation);
  const double aside = std::min(0.5, kDeviations / 2 / std::sqrt(few)), far = 0.5 + (truth - lie) * aside;
  LossBins bins(std::min(epsilon, std::log(far / (1 - far))) * (1 + 1e-9));
  const auto size = static_cast<size_t>(std::max(1.0, std::min(deviation / 8, 5e-4 * mean)));
  for_each_block(BinomialMasses(reports - 1, rate), size, [&](double others, double mass) {
    if (mass < kPruned) return bins.add_far(mass, mass);
    const double m = others + 1;
    const BinomialMasses one(m, 0.5);
    for (size_t i = 0; i < one.mass.size(); ++i) {
      const double share = (one.first + static_cast<double>(i)) / m;
      const double p = 2 * (truth * share + lie * (1 - share)), q = 2 * (lie * share + truth * (1 - share));
      bins.add(mass * one.mass[i] * p, mass * one.mass[i] * q, std::log(p / q));
    }
  });
  return bins.split();
}

void check(double epsilon, int64_t reports) {
  require(epsilon > 0 && epsilon <= kMostEpsilon, "the local epsilon must be above 0 and at most ", kMostEpsilon,
          ", got ", epsilon);
  require(reports >= 2 && reports <= 100'000'000, "the number of reports must be between 2 and 10^8, got ", reports);
}

}  // namespace

std::shared_ptr<const LossLaw> shuffled_response_law(double epsilon, int64_t categories, int64_t reports) {
  check(epsilon, reports);
  require(categories >= 2, "randomised response needs at least 2 categories, got ", categories);
  const auto n = static_cast<double>(reports), k = static_cast<double>(categories);
  if (k / (std::expm1(epsilon) + k) > 1 - 1e-9) return shuffled_clones_law(epsilon, reports);
  const bool many = k == 2 ? n > kMostBits : n > kMostReports || n / k > kMostOfACategory;
  const auto above = [=] {
    return many ? blanket_of_many(epsilon, k, n) : k == 2 ? shuffled_bits_above(epsilon, n) : blanket(epsilon, k, n);
  };
  return std::make_shared<ListedLaw>(epsilon, above, [=] { return attained(epsilon, k, n); });
}

std::shared_ptr<const LossLaw> shuffled_clones_law(double epsilon, int64_t reports) {
  check(epsilon, reports);
  const auto list = [epsilon, n = static_cast<double>(reports)] { return clones(epsilon, n); };
  return std::make_shared<UpperBoundLaw>(std::make_shared<ListedLaw>(epsilon, list, nothing_told));
}

}  // namespace sotto::accountants
