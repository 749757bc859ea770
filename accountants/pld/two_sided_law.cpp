#include "accountants/pld/two_sided_law.h"

#include <algorithm>

#include "base/error.h"

namespace sotto::accountants {

TwoSidedLaw::TwoSidedLaw(std::shared_ptr<const CellLaw> above, std::shared_ptr<const CellLaw> below)
    : above_(std::move(above)), below_(std::move(below)) {
  require(above_->anchor() == 0 && below_->anchor() == 0, "two laws of one mechanism need one grid");
}

std::pair<double, double> TwoSidedLaw::range(double tail) const {
  const auto [low, high] = above_->range(tail);
  const auto [other_low, other_high] = below_->range(tail);
  return {std::min(low, other_low), std::max(high, other_high)};
}

MirroredLaw::MirroredLaw(std::shared_ptr<const CellLaw> law) : law_(std::move(law)) {
  require(law_->anchor() == 0, "a law is mirrored at a loss of 0, which must be a level");
}

LossCells MirroredLaw::cells(double step, double tail) const {
  const LossCells whole = law_->cells(step, tail);
  const auto first =
      static_cast<size_t>(std::upper_bound(whole.loss.begin(), whole.loss.end(), 0.0) - whole.loss.begin());
  LossCells mirrored;
  double counted = 2 * whole.p_at_infinity + whole.above.p + whole.above.q;
  for (size_t k = whole.loss.size(); k-- > first;) {
    mirrored.p.push_back(whole.q[k]);
    mirrored.q.push_back(whole.p[k]);
    mirrored.loss.push_back(-whole.loss[k]);
    counted += whole.p[k] + whole.q[k];
  }
  // More at a loss of 0 than there is costs more, so what the sum may be off by is added.
  const double rest = std::max(0.0, 1 - counted) + 2 * whole.mass_error;
  mirrored.p.push_back(rest);
  mirrored.q.push_back(rest);
  mirrored.loss.push_back(0);
  for (size_t k = first; k < whole.loss.size(); ++k) {
    mirrored.p.push_back(whole.p[k]);
    mirrored.q.push_back(whole.q[k]);
    mirrored.loss.push_back(whole.loss[k]);
  }
  mirrored.p_at_infinity = mirrored.q_at_infinity = whole.p_at_infinity;
  mirrored.above = whole.above;
  mirrored.below = {whole.above.q, whole.above.p, -whole.above.edge};
  mirrored.mass_error = whole.mass_error;
  mirrored.loss_error = whole.loss_error;
  return mirrored;
}

std::pair<double, double> MirroredLaw::range(double tail) const {
  const double highest = std::max(0.0, law_->range(tail).second);
  return {-highest, highest};
}

}  // namespace sotto::accountants
