#include "accountants/pld/shuffled_channel_law.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

#include "accountants/pld/delta_curve.h"
#include "accountants/pld/few_outcomes_law.h"
#include "accountants/pld/listed_law.h"
#include "accountants/pld/numerics.h"
#include "accountants/pld/ratio_cells.h"
#include "accountants/pld/shuffled_groups.h"
#include "accountants/pld/sum_divergence.h"
#include "accountants/pld/upper_bound_law.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

using Row = std::vector<double>;
using Table = std::vector<Row>;

constexpr size_t kMostPairs = 24, kLevels = 96;
constexpr double kMostEpsilon = 50, kRounding = 1e-12;  // rows sum to 1 up to that

// The inputs of neighbours, on the blanket's outputs; and what the other outputs add to δ.
struct Pair {
  std::vector<RatioCell> cells;
  std::vector<std::pair<double, double>> outside;  // R(y|x), R(y|x')
  bool operator==(const Pair& other) const {
    const auto same = [](const RatioCell& a, const RatioCell& b) {
      return a.mass == b.mass && a.x == b.x && a.y == b.y;
    };
    return outside == other.outside && cells.size() == other.cells.size() &&
           std::equal(cells.begin(), cells.end(), other.cells.begin(), same);
  }
};

Table normalised(Table table) {
  for (Row& row : table) {
    const double sum = std::accumulate(row.begin(), row.end(), 0.0);
    for (double& each : row) each /= sum;
  }
  return table;
}

// γ ω.
Row blanket_of(const Table& table) {
  Row least = table.front();
  for (const Row& row : table)
    for (size_t y = 0; y < row.size(); ++y) least[y] = std::min(least[y], row[y]);
  return least;
}

Pair pair_of(const Row& blanket, double gamma, const Row& with, const Row& without) {
  Pair pair{{flat_cell(1 - gamma, 0, 0)}, {}};
  for (size_t y = 0; y < blanket.size(); ++y) {
    if (blanket[y] > 0)
      pair.cells.push_back(flat_cell(blanket[y], gamma * with[y] / blanket[y], gamma * without[y] / blanket[y]));
    else if (with[y] > 0)
      pair.outside.emplace_back(with[y], without[y]);
  }
  const auto by_ratios = [](const RatioCell& a, const RatioCell& b) {
    return std::tie(a.x, a.y, a.mass) < std::tie(b.x, b.y, b.mass);
  };
  std::sort(pair.cells.begin(), pair.cells.end(), by_ratios);
  std::sort(pair.outside.begin(), pair.outside.end());
  return pair;
}

// Of densities with mean 1 between `low` and `high`: those with no value between, high where the other is low, spread
// every X − aY.
Pair corners(double gamma, double low, double high) {
  const double share = high > low ? (1 - low) / (high - low) : 0;
  if (!(share < 0.5)) return {};
  return {{flat_cell(1 - gamma, 0, 0), flat_cell(gamma * share, high, low), flat_cell(gamma * share, low, high),
           flat_cell(gamma * (1 - 2 * share), low, low)},
          {}};
}

std::vector<Pair> pairs_of(const Table& table, const Row& blanket, double gamma) {
  std::vector<Pair> pairs;
  double low = kInfinity, high = 0;
  bool outside = false;
  for (const Row& row : table)
    for (size_t y = 0; y < row.size(); ++y) {
      outside |= blanket[y] == 0 && row[y] > 0;
      if (blanket[y] > 0) low = std::min(low, gamma * row[y] / blanket[y]);
      if (blanket[y] > 0) high = std::max(high, gamma * row[y] / blanket[y]);
    }
  for (const Row& with : table)
    for (const Row& without : table) {
      Pair pair = pair_of(blanket, gamma, with, without);
      if (&with == &without || std::find(pairs.begin(), pairs.end(), pair) != pairs.end()) continue;
      pairs.push_back(std::move(pair));
      if (pairs.size() <= kMostPairs) continue;
      Pair worst = corners(gamma, low, high);
      if (outside || worst.cells.empty()) return {};
      return {worst};
    }
  return pairs;
}

LossCells over(const std::vector<Pair>& pairs, double gamma, double reports, double most) {
  std::vector<SumDivergence> sums;
  for (const Pair& pair : pairs)
    sums.emplace_back(pair.cells, static_cast<int64_t>(reports), gamma * reports * (1 - kRounding));
  // Outputs that x' never gives are told at every ε.
  const auto largest = [&](double epsilon, bool certain, auto&& of_sum) {
    const double a = std::exp(epsilon);
    double found = 0;
    for (size_t k = 0; k < pairs.size(); ++k) {
      double outside = 0;
      for (const auto& [with, without] : pairs[k].outside)
        if (certain || without > 0) outside += std::max(0.0, with - a * without);
      found = std::max(found, of_sum(sums[k], a) + outside * (1 + kRounding));
    }
    return std::min(1.0, found * (1 + kRounding));
  };
  DeltaCurve curve;
  curve.level = levels_for(most, kLevels, [&](double epsilon) {
    return largest(epsilon, false, [](const auto& sum, double a) { return sum.roughly(a); });
  });
  for (const double level : curve.level)
    curve.delta.push_back(largest(level, true, [](const auto& sum, double a) { return sum.above(a); }));
  return cells_over_curve(curve);
}

// Outputs that the others have, by how much they tell, cut in three so that χ² = Σ (p − q)² / α is largest.
struct Cut {
  double gain = 0;
  GroupLaw others{}, with{}, without{};
};

Cut best_cut(const Row& others, const Row& with, const Row& without) {
  std::vector<size_t> order;
  for (size_t y = 0; y < others.size(); ++y) {
    if (others[y] > 0) order.push_back(y);
  }
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return (with[a] - without[a]) / others[a] > (with[b] - without[b]) / others[b];
  });
  const size_t size = order.size();
  Row sum_others(size + 1), sum_with(size + 1), sum_without(size + 1);
  for (size_t i = 0; i < size; ++i) {
    sum_others[i + 1] = sum_others[i] + others[order[i]];
    sum_with[i + 1] = sum_with[i] + with[order[i]];
    sum_without[i + 1] = sum_without[i] + without[order[i]];
  }
  const auto part = [](const Row& sums, size_t from, size_t to) { return std::max(0.0, sums[to] - sums[from]); };
  Cut best;
  for (size_t i = 1; i < size; ++i)
    for (size_t j = i; j < size; ++j) {  // the first i, those from j on, and between them the rest
      const auto law = [&](const Row& sums) {
        return GroupLaw{part(sums, 0, i), part(sums, j, size), part(sums, i, j)};
      };
      const GroupLaw n = law(sum_others), p = law(sum_with), q = law(sum_without);
      const auto term = [](double a, double b, double share) { return share > 0 ? (a - b) * (a - b) / share : 0; };
      const double gain = term(p.first, q.first, n.first) + term(p.second, q.second, n.second) +
                          (i < j ? term(p.rest, q.rest, n.rest) : 0);
      if (n.first > 0 && n.second > 0 && gain > best.gain) best = {gain, n, p, q};
    }
  return best;
}

LossCells under(const Table& table, double reports, double most) {
  double largest = 0;
  const Row *unit = nullptr, *replaced = nullptr, *others = nullptr;
  for (const Row& with : table)
    for (const Row& without : table)
      for (const Row& rest : table) {
        if (&with >= &without) continue;
        double gain = 0;
        for (size_t y = 0; y < rest.size(); ++y)
          if (with[y] != without[y]) gain += (with[y] - without[y]) * (with[y] - without[y]) / rest[y];
        if (std::isfinite(gain) && gain > largest) largest = gain, unit = &with, replaced = &without, others = &rest;
      }
  if (unit == nullptr) return nothing_told();
  const Cut best = best_cut(*others, *unit, *replaced);
  return best.gain > 0 ? told_by_groups(best.others, best.with, best.without, reports, most) : nothing_told();
}

// Of the blanket, and what is not of it.
std::vector<RatioCell> blanket_cells(double epsilon) {
  const double gamma = std::exp(-epsilon / 2);
  std::vector<RatioCell> cells = laplace_cells(epsilon / 2);
  for (RatioCell& cell : cells) cell.mass *= gamma;
  cells.push_back(flat_cell(1 - gamma, 0, 0));
  return cells;
}

// y beyond ±c/2.
LossCells under_laplace(double epsilon, double reports) {
  const double c = epsilon / 2, near = 0.5 * std::exp(-c / 2), far = 0.5 * std::exp(-1.5 * c);
  const GroupLaw others{near, near, 1 - 2 * near}, with{1 - near, far, near - far}, without{far, 1 - near, near - far};
  return told_by_groups(others, with, without, reports, epsilon);
}

}  // namespace

LossCells over_blanket(std::vector<RatioCell> cells, double gamma, double reports, double most) {
  return over({{std::move(cells), {}}}, gamma, reports, most);
}

std::shared_ptr<const LossLaw> shuffled_channel_law(const Table& given, int64_t reports) {
  require(reports >= 2 && reports <= 100'000'000, "the number of reports must be between 2 and 10^8, got ", reports);
  const Table table = normalised(given);
  const Row blanket = blanket_of(table);
  const double gamma = std::accumulate(blanket.begin(), blanket.end(), 0.0), n = static_cast<double>(reports);
  double most = 0;  // log of the largest ratio
  for (size_t y = 0; y < blanket.size(); ++y)
    for (const Row& row : table)
      if (row[y] > 0) most = std::max(most, blanket[y] > 0 ? std::log(row[y] / blanket[y]) + kRounding : kInfinity);
  if (most <= 2 * kRounding) return FewOutcomesLaw::epsilon_delta(0, 0);
  std::vector<Pair> pairs;
  if (gamma * n >= 1) pairs = pairs_of(table, blanket, gamma);
  if (pairs.empty()) return nullptr;
  const double span = std::min(most, kMostEpsilon);
  return std::make_shared<ListedLaw>(
      most, [=] { return over(pairs, gamma, n, span); }, [=] { return under(table, n, span); });
}

std::shared_ptr<const LossLaw> shuffled_laplace_law(double epsilon, int64_t reports) {
  require(epsilon > 0 && epsilon <= kMostEpsilon, "the local epsilon must be above 0 and at most ", kMostEpsilon,
          ", got ", epsilon);
  require(reports >= 2 && reports <= 100'000'000, "the number of reports must be between 2 and 10^8, got ", reports);
  const double n = static_cast<double>(reports);
  return std::make_shared<ListedLaw>(
      epsilon, [=] { return over_blanket(blanket_cells(epsilon), std::exp(-epsilon / 2), n, epsilon); },
      [=] { return under_laplace(epsilon * (1 - 1e-14), n); });
}

}  // namespace sotto::accountants
