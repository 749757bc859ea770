#include "accountants/pld/grid_choice.h"

#include <algorithm>
#include <cmath>

namespace sotto::accountants {

double total_uses(const std::vector<LawUses>& uses) {
  double total = 0;
  for (const auto& each : uses) total += static_cast<double>(each.count);
  return total;
}

double tail_mass(double total_uses, double log_delta, const PldLimits& limits) {
  return std::clamp(1e-4 * limits.relative_gap * std::exp(log_delta) / total_uses, 1e-290, 1e-3);
}

double step_for(double epsilon_gap, double total_uses, double theta) {
  return std::sqrt(4.5 * epsilon_gap / (total_uses * (theta + 1)));
}

double fit_lattice(const std::vector<LawUses>& uses, double step, double finest) {
  for (const auto& each : uses) {
    const double lattice = each.law->lattice();
    if (lattice == 0) continue;
    const double fitting = lattice / std::max(1.0, std::floor(lattice / step));
    return fitting >= finest ? fitting : step;
  }
  return step;
}

}  // namespace sotto::accountants
