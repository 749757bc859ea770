#include "accountants/pld/allocation_curve_law.h"

#include <algorithm>
#include <cmath>

#include "accountants/pld/analytic_gaussian.h"
#include "accountants/pld/delta_curve.h"
#include "accountants/pld/listed_law.h"
#include "accountants/pld/numerics.h"
#include "accountants/pld/ratio_cells.h"

namespace sotto::accountants {
namespace {

constexpr size_t kLevels = 96;
constexpr double kLeastSigma = 0.2, kMostSigma = 1e4, kMostLaplace = 20, kLeastLaplace = 1e-4;
constexpr double kMostLevel = 200;
constexpr double kReaches[] = {2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9.8};

// δ at a level: the least of bounds, each off by what its cells lose.
class Bounds {
 public:
  // `known`: μ of a Gaussian use that is known to be the unit's, 0 where there is none.
  Bounds(int64_t steps, double known) : steps_(steps), known_(known) {}
  void add(std::vector<RatioCell> cells, double lost) {
    sums_.push_back({SumDivergence(std::move(cells), steps_, static_cast<double>(steps_)), lost});
  }
  double roughly(double epsilon) const {
    double found = of_known(epsilon);
    for (const Sum& each : sums_)
      if (each.lost < found) found = std::min(found, each.sum.roughly(std::exp(epsilon)) + each.lost);
    return found;
  }
  // Of those sums that lose about a fifth of δ, which is some of what it was at the level before.
  double above(double epsilon, double before) const {
    constexpr double kShare = 0.2;
    constexpr size_t kTried = 4;
    double found = of_known(epsilon);
    std::vector<std::pair<double, const Sum*>> order;
    for (const Sum& each : sums_)
      order.emplace_back(std::abs(std::log(std::max(each.lost, 1e-300) / (kShare * before))), &each);
    std::sort(order.begin(), order.end());
    for (size_t i = 0; i < std::min(order.size(), kTried); ++i)
      if (order[i].second->lost < found)
        found = std::min(found, order[i].second->sum.above(std::exp(epsilon)) + order[i].second->lost);
    return found;
  }

 private:
  struct Sum {
    SumDivergence sum;
    double lost;
  };
  double of_known(double epsilon) const { return known_ > 0 ? gaussian_delta(known_, epsilon).upper : 1; }

  int64_t steps_;
  double known_;
  std::vector<Sum> sums_;
};

DeltaCurve curve_of(const Bounds& bounds, double most) {
  DeltaCurve curve;
  curve.level = levels_for(most, kLevels, [&](double epsilon) { return bounds.roughly(epsilon); });
  for (const double level : curve.level)
    curve.delta.push_back(bounds.above(level, curve.delta.empty() ? 1 : curve.delta.back()));
  return curve;
}

// Where noise is wide one reach is all there is to choose from.
std::vector<double> reaches(double sigma) {
  return sigma >= 3 ? std::vector<double>{9.8} : std::vector<double>(std::begin(kReaches), std::end(kReaches));
}

LossCells replaced(double sigma, int64_t steps) {
  Bounds bounds(steps, 2 / sigma * (1 + 1e-15));
  for (const double reach : reaches(sigma)) {
    CellsAndLoss each = gaussian_cells(sigma, reach);
    bounds.add(std::move(each.cells), each.lost);
  }
  return cells_over_curve(curve_of(bounds, kMostLevel));
}

LossCells removed(double sigma, int64_t steps) {
  const double known = 1 / sigma * (1 + 1e-15);
  Bounds remove(steps, known), add(steps, known);
  for (const double reach : reaches(sigma)) {
    CellsAndLoss each = gaussian_cells(sigma, reach);
    std::vector<RatioCell> with, without;
    for (const RatioCell& cell : each.cells) {
      with.push_back({cell.mass, cell.x, 1, cell.first_x, 1, cell.last_x, 1});
      without.push_back({cell.mass, 1, cell.x, 1, cell.first_x, 1, cell.last_x});
    }
    // Here X counts against the sum: nothing is lost where it counts for less, at the ends for what it is at least.
    without[0] = flat_cell(each.cells[0].mass, 1, 0);
    without[1] = flat_cell(each.cells[1].mass, 1, each.cells.back().last_x);
    remove.add(std::move(with), each.lost);
    add.add(std::move(without), 0);
  }
  const DeltaCurve up = curve_of(remove, kMostLevel);
  std::vector<double> down;
  for (const double level : up.level) down.push_back(add.above(level, 1));
  return cells_over_curves(up, down);
}

}  // namespace

std::shared_ptr<const CellLaw> allocation_removed_law(const Noise& noise, int64_t steps) {
  const double sigma = noise.scale / noise.shift;
  if (noise.shape != NoiseShape::gaussian || sigma < kLeastSigma || sigma > kMostSigma) return nullptr;
  return std::make_shared<ListedLaw>(
      kInfinity, [=] { return removed(sigma, steps); }, nothing_told);
}

std::shared_ptr<const CellLaw> allocation_replaced_law(const Noise& noise, int64_t steps) {
  const double scale = noise.scale / noise.shift;
  if (noise.shape == NoiseShape::laplace && scale >= 1 / kMostLaplace && scale <= 1 / kLeastLaplace)
    return std::make_shared<ListedLaw>(
        2 / scale,
        [=] {
          Bounds bounds(steps, 0);
          bounds.add(laplace_cells(1 / scale), 0);
          return cells_over_curve(curve_of(bounds, 2 / scale));
        },
        nothing_told);
  if (noise.shape != NoiseShape::gaussian || scale < kLeastSigma || scale > kMostSigma) return nullptr;
  return std::make_shared<ListedLaw>(
      kInfinity, [=] { return replaced(scale, steps); }, nothing_told);
}

}  // namespace sotto::accountants
