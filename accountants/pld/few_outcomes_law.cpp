#include "accountants/pld/few_outcomes_law.h"

#include <algorithm>
#include <cmath>

#include "accountants/pld/numerics.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

LossCells cells_of(std::vector<double> p, std::vector<double> loss) {
  LossCells cells;
  cells.q = {p.rbegin(), p.rend()};
  cells.p = std::move(p);
  cells.loss = std::move(loss);
  cells.mass_error = 8 * kUnit;
  return cells;
}

// Told with probability e^ε / (1 + e^ε), in a form that does not overflow.
LossCells one_bit(double epsilon) {
  const double lie = 1 / (1 + std::exp(epsilon)), truth = 1 / (1 + std::exp(-epsilon));
  return epsilon == 0 ? cells_of({1}, {0}) : cells_of({lie, truth}, {-epsilon, epsilon});
}

}  // namespace

FewOutcomesLaw::FewOutcomesLaw(const std::vector<Outcome>& outcomes, double lattice) : lattice_(lattice) {
  require(!outcomes.empty(), "a law needs an outcome");
  for (const Outcome& outcome : outcomes) {
    cells_.p.push_back(outcome.p);
    cells_.q.push_back(outcome.p * std::exp(-outcome.loss));
    cells_.loss.push_back(outcome.loss);
  }
  const double largest = std::max(std::abs(cells_.loss.front()), std::abs(cells_.loss.back()));
  cells_.mass_error = 1e-14 * (1 + largest);
  cells_.loss_error = 1e-14 * largest;
}

std::shared_ptr<const LossLaw> FewOutcomesLaw::randomized_response(double epsilon, int64_t categories) {
  LossCells cells = one_bit(epsilon);
  double lattice = 2 * epsilon;
  if (categories > 2 && epsilon > 0) {
    const double others = static_cast<double>(categories - 1), all = 1 + others * std::exp(-epsilon);
    const double lie = std::exp(-epsilon) / all;
    cells = cells_of({lie, lie * (others - 1), 1 / all}, {-epsilon, 0, epsilon});
    lattice = epsilon;
  }
  return std::shared_ptr<const LossLaw>(new FewOutcomesLaw(std::move(cells), lattice));
}

std::shared_ptr<const LossLaw> FewOutcomesLaw::epsilon_delta(double epsilon, double delta) {
  LossCells cells = one_bit(epsilon);
  for (double& each : cells.p) each *= 1 - delta;
  for (double& each : cells.q) each *= 1 - delta;
  cells.p_at_infinity = cells.q_at_infinity = delta;
  return std::shared_ptr<const LossLaw>(new FewOutcomesLaw(std::move(cells), 2 * epsilon));
}

double FewOutcomesLaw::most_loss(Direction direction) const {
  if (cells_.p_at_infinity > 0) return kInfinity;
  return std::max(0.0, direction == Direction::remove ? cells_.loss.back() : -cells_.loss.front()) + cells_.loss_error;
}

}  // namespace sotto::accountants
