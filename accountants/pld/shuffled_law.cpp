#include "accountants/pld/shuffled_law.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <mutex>
#include <vector>

#include "accountants/binomial.h"
#include "accountants/pld/cell_law.h"
#include "accountants/pld/numerics.h"
#include "accountants/pld/upper_bound_law.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kMostEpsilon = 50, kMostReports = 1e6;
constexpr double kManyReports = 2e5;
constexpr double kMostOfACategory = 4e4;  // windows of two categories grow with it
constexpr size_t kBins = size_t{1} << 13;
constexpr double kLeftOut = 1e-34;      // more than the windows of binomial laws leave out
constexpr double kPruned = 1e-23;       // outcomes as rare as that are not looked at, and count as lost
constexpr double kFarthest = 7;         // deviations that the lower bound looks at
constexpr double kDeviations = 12;      // from the mean, within which losses are told apart
constexpr double kShareOfKnown = 2e-3;  // of the blanket reports: how many may be in a block

// Masses of outcomes by their loss, in bins from −most to most that no outcome reaches over.
class Bins {
 public:
  explicit Bins(double most) : p_(kBins), q_(kBins), width_(2 * most / kBins), most_(most) {}
  void add(double p, double q, double loss) {
    const double place = (loss + most_) / width_;
    if (place < 0 || place >= static_cast<double>(kBins)) return add_far(p, q);
    const auto bin = static_cast<size_t>(place);
    p_[bin] += p;
    q_[bin] += q;
  }
  // Of any loss: lost above, not there below.
  void add_far(double p, double q) {
    far_.p += p;
    far_.q += q;
  }
  // As they are, merged: below.
  LossCells merged() const {
    LossCells cells;
    for (size_t i = 0; i < kBins; ++i) {
      if (!(p_[i] > 1e-300 && q_[i] > 1e-300)) continue;
      cells.p.push_back(p_[i]);
      cells.q.push_back(q_[i]);
      cells.loss.push_back(std::log(p_[i] / q_[i]));
    }
    cells.mass_error = 1e-11;
    cells.loss_error = 1e-13 + 1e-9 * width_;
    return cells;
  }
  // Each bin's at the two ends of it: above.
  LossCells split() const {
    const LossAtoms atoms = atoms_above(merged(), -most_, width_);
    LossCells cells;
    for (size_t i = 0; i < atoms.mass.size(); ++i) {
      if (!(atoms.mass[i] > 1e-300)) continue;
      cells.p.push_back(atoms.mass[i]);
      cells.q.push_back(atoms.mass[i] * std::exp(-atoms.loss(i)));
      cells.loss.push_back(atoms.loss(i));
    }
    cells.above = {far_.p, kLeftOut, most_};
    cells.below = {kLeftOut, far_.q, -most_};
    cells.mass_error = 1e-11;
    cells.loss_error = 1e-13 + 2e-9 * width_;
    return cells;
  }

 private:
  std::vector<double> p_, q_;
  LossCells::Tail far_{kLeftOut, kLeftOut, 0};
  double width_, most_;
};

// A law whose outcomes are listed, for above and below, when they are first asked for: that may take a second.
class ListedLaw final : public CellLaw {
 public:
  using List = std::function<LossCells()>;
  ListedLaw(double epsilon, List above, List below)
      : epsilon_(epsilon), list_above_(std::move(above)), list_below_(std::move(below)) {}

  double most_loss(Direction) const override { return epsilon_ * (1 + 1e-12); }
  LossCells cells(double, double) const override { return listed().first; }
  std::optional<LossCells> cells_below(double, double) const override { return listed().second; }
  double anchor() const override { return 0; }
  std::pair<double, double> range(double) const override {
    return {listed().first.loss.front(), listed().first.loss.back()};
  }

 private:
  const std::pair<LossCells, LossCells>& listed() const {
    std::call_once(once_, [&] { listed_ = {list_above_(), list_below_()}; });
    return listed_;
  }

  double epsilon_;
  List list_above_, list_below_;
  mutable std::once_flag once_;
  mutable std::pair<LossCells, LossCells> listed_;
};

// Calls visit(least of the block, its mass).
template <class Visit>
void for_each_block(const BinomialMasses& masses, size_t size, const Visit& visit) {
  for (size_t i = 0; i < masses.mass.size(); i += size) {
    double mass = 0;
    for (size_t j = i; j < std::min(i + size, masses.mass.size()); ++j) mass += masses.mass[j];
    visit(masses.first + static_cast<double>(i), mass);
  }
}

// Large windows are left with few blocks.
size_t block_size(double known, double deviation, double reports) {
  return static_cast<size_t>(
      std::max(1.0, reports > kManyReports ? 4 * deviation : std::min(deviation, kShareOfKnown * known)));
}

LossCells blanket(double epsilon, double categories, double reports) {
  const double grown = std::expm1(epsilon), rate = categories / (grown + categories);  // k r
  const double mean = (reports - 1) * rate, deviation = std::sqrt(mean * (1 - rate));
  const BinomialMasses known(reports - 1, rate);
  const double few = std::max(1.0, mean - kDeviations * deviation), each = few / categories;
  const double reach = kDeviations * std::sqrt(each * (1 - 1 / categories)) + 4;
  Bins bins(std::min(epsilon, std::log((few + grown * (each + reach)) / (few + grown * std::max(0.0, each - reach)))) *
            (1 + 1e-9));
  std::vector<double> logs;  // log(m + (e^ε − 1) a)
  for_each_block(known, block_size(mean, deviation, reports), [&](double others, double mass) {
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
    if (categories == 2) return pair_of(m, mass);
    const BinomialMasses in_question(m, 2 / categories);
    for (size_t i = 0; i < in_question.mass.size(); ++i)
      pair_of(in_question.first + static_cast<double>(i), mass * in_question.mass[i]);
  });
  return bins.split();
}

// Outcomes farther than kFarthest deviations are left out, which only lowers it.
LossCells attained(double epsilon, double categories, double reports) {
  const double grown = std::exp(epsilon), lie = 1 / (grown + categories - 1), truth = grown * lie;
  const double mean = (reports - 1) * lie, spread = 2 * kFarthest * std::sqrt(mean) + 8;
  Bins bins(std::min(epsilon, 2 * (grown - 1) * spread / std::max(1.0, mean)) * (1 + 1e-9));
  const auto near = [](const BinomialMasses& masses, double trials, double probability, size_t i) {
    const double deviation = std::sqrt(trials * probability * (1 - probability)) + 1;
    return std::abs(masses.first + static_cast<double>(i) - trials * probability) < kFarthest * deviation;
  };
  if (categories == 2) {
    const BinomialMasses others(reports - 1, lie);  // who hold the other category and say this one
    for (size_t i = 0; i < others.mass.size(); ++i) {
      const double a = others.first + static_cast<double>(i), moved = a / (reports - a) * (1 - lie) / lie;
      if (!near(others, reports - 1, lie, i)) continue;
      const double p = truth * moved + lie, q = lie * moved + truth;
      bins.add(others.mass[i] * p, others.mass[i] * q, std::log(p / q));
    }
    return bins.merged();
  }
  const double neither = 1 - truth - lie;
  const BinomialMasses totals(reports - 1, 2 * lie);
  for (size_t t = 0; t < totals.mass.size(); ++t) {
    const double total = totals.first + static_cast<double>(t);
    if (!near(totals, reports - 1, 2 * lie, t)) continue;
    const double moved = (1 - 2 * lie) / lie / (reports - total);
    const BinomialMasses one(total, 0.5);
    for (size_t i = 0; i < one.mass.size(); ++i) {
      if (!near(one, total, 0.5, i)) continue;
      const double a = one.first + static_cast<double>(i), b = total - a;
      const double p = moved * (truth * a + lie * b) + neither, q = moved * (lie * a + truth * b) + neither;
      const double here = totals.mass[t] * one.mass[i];
      bins.add(here * p, here * q, std::log(p / q));
    }
  }
  return bins.merged();
}

LossCells clones(double epsilon, double reports) {
  const double clone = std::exp(-epsilon);
  const double truth = 1 / (1 + clone), lie = clone * truth;
  const double rate = std::min(clone, 1 - 1e-9);  // fewer clones hide less
  const double mean = (reports - 1) * rate, deviation = std::sqrt(mean * (1 - rate));
  const double few = std::max(1.0, mean - kDeviations * deviation);
  const double aside = std::min(0.5, kDeviations / 2 / std::sqrt(few)), far = 0.5 + (truth - lie) * aside;
  Bins bins(std::min(epsilon, std::log(far / (1 - far))) * (1 + 1e-9));
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
  const bool too_many = k == 2 ? n > kMostReports : n > kMostReports || n / k > kMostOfACategory;
  if (too_many || k / (std::expm1(epsilon) + k) > 1 - 1e-9) return shuffled_clones_law(epsilon, reports);
  return std::make_shared<ListedLaw>(
      epsilon, [=] { return blanket(epsilon, k, n); }, [=] { return attained(epsilon, k, n); });
}

std::shared_ptr<const LossLaw> shuffled_clones_law(double epsilon, int64_t reports) {
  check(epsilon, reports);
  const auto list = [epsilon, n = static_cast<double>(reports)] { return clones(epsilon, n); };
  return std::make_shared<UpperBoundLaw>(
      std::make_shared<ListedLaw>(epsilon, list, [] { return LossCells{.p = {1}, .q = {1}, .loss = {0}}; }));
}

}  // namespace sotto::accountants
