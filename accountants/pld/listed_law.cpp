#include "accountants/pld/listed_law.h"

#include <algorithm>
#include <cmath>

namespace sotto::accountants {
namespace {

constexpr size_t kBins = size_t{1} << 13;
constexpr double kLeftOut = 1e-34;  // more than the windows of binomial laws leave out

}  // namespace

LossBins::LossBins(double most)
    : p_(kBins), q_(kBins), far_{kLeftOut, kLeftOut, 0}, width_(2 * most / kBins), most_(most) {}

LossCells LossBins::merged() const {
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

LossCells LossBins::split() const {
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

std::pair<double, double> ListedLaw::range(double) const {
  const LossCells &above = listed().first, &below = listed().second;
  return {std::min(above.loss.front(), below.loss.front()), std::max(above.loss.back(), below.loss.back())};
}

}  // namespace sotto::accountants
