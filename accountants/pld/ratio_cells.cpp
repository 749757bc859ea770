#include "accountants/pld/ratio_cells.h"

#include <cmath>

#include "accountants/pld/numerics.h"

namespace sotto::accountants {
namespace {

constexpr size_t kLaplaceCells = 96, kGaussianCells = 240;

// P(a < Z ≤ b).
double normal_between(double a, double b) {
  if (a >= 0) return normal_tail(a) - normal_tail(b);
  if (b <= 0) return normal_tail(-b) - normal_tail(-a);
  return 1 - normal_tail(-a) - normal_tail(b);
}

}  // namespace

std::vector<RatioCell> laplace_cells(double c) {
  const double high = std::exp(c), low = std::exp(-c), tail = 0.5 * std::exp(-c);
  std::vector<RatioCell> cells{flat_cell(tail, high, low), flat_cell(tail, low, high)};
  for (size_t i = 0; i < kLaplaceCells; ++i) {
    const double from = c * static_cast<double>(i) / kLaplaceCells, to = c * static_cast<double>(i + 1) / kLaplaceCells;
    const double mass = 0.5 * std::exp(-from) * -std::expm1(from - to);
    const double mean = 0.5 * std::exp(from - c) * std::expm1(to - from) / mass;  // of e^(2y − c)
    const double first = std::exp(2 * from - c), last = std::exp(2 * to - c);
    cells.push_back({mass, mean, low, first, low, last, low});
    cells.push_back({mass, low, mean, low, first, low, last});
  }
  return cells;
}

CellsAndLoss gaussian_cells(double sigma, double reach) {
  const double moved = 1 / sigma, end = moved + reach;  // in deviations
  const double width = 2 * end / kGaussianCells;
  const auto x = [&](double u) { return std::exp((u - 0.5 * moved) * moved); };
  const auto y = [&](double u) { return x(-u); };
  CellsAndLoss found{{flat_cell(normal_tail(end), x(-end), y(-end)), flat_cell(normal_tail(end), 0, 0)},
                     normal_tail(end - moved) * (1 + 1e-12)};
  for (size_t i = 0; i < kGaussianCells; ++i) {
    const double from = -end + static_cast<double>(i) * width, to = from + width;
    const double mass = normal_between(from, to);
    if (!(mass > 1e-300)) continue;
    found.cells.push_back({mass, normal_between(from - moved, to - moved) / mass,
                           normal_between(from + moved, to + moved) / mass, x(from), y(from), x(to), y(to)});
  }
  return found;
}

}  // namespace sotto::accountants
