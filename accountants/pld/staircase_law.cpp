#include "accountants/pld/staircase_law.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "accountants/pld/few_outcomes_law.h"
#include "base/error.h"

namespace sotto::accountants {

std::shared_ptr<const LossLaw> staircase_law(double epsilon, double step_fraction, int moved, double rate) {
  require(epsilon > 0 && epsilon <= 100, "staircase noise needs an epsilon above 0 and at most 100, got ", epsilon);
  require(step_fraction >= 0 && step_fraction <= 1, "step_fraction must be in [0, 1], got ", step_fraction);
  require((moved == 1 || moved == 2) && rate > 0 && rate <= 1, "staircase noise moves by 1 or 2 at a rate in (0, 1], ",
          "got ", moved, " and ", rate);
  const double fall = std::exp(-epsilon);
  const double top = -std::expm1(-epsilon) / (2 * (step_fraction + fall * (1 - step_fraction)));
  const auto stairs = [&](double x) {
    const double away = std::abs(x);
    return away < step_fraction ? 0 : 1 + static_cast<int>(std::floor(away - step_fraction));
  };
  // Before 0 and from `moved` on the noise is as many stairs apart as it moved; between, from edge to edge.
  std::vector<double> mass(static_cast<size_t>(2 * moved) + 1);  // P's at losses −moved … moved
  mass.front() = 0.5 * std::exp(-moved * epsilon);
  mass.back() = 0.5;
  std::vector<double> edges{0, static_cast<double>(moved)};
  for (int k = 0; k < moved; ++k) {
    edges.push_back(k + step_fraction);
    edges.push_back(moved - k - step_fraction);
  }
  std::sort(edges.begin(), edges.end());
  for (size_t i = 0; i + 1 < edges.size(); ++i) {
    const double middle = (edges[i] + edges[i + 1]) / 2;
    const int of_p = stairs(middle - moved), of_q = stairs(middle);
    mass[static_cast<size_t>(of_q - of_p + moved)] += top * std::exp(-of_p * epsilon) * (edges[i + 1] - edges[i]);
  }
  std::vector<Outcome> outcomes;
  for (int apart = -moved; apart <= moved; ++apart) {
    const double p = mass[static_cast<size_t>(apart + moved)], loss = apart * epsilon;
    if (p == 0) continue;
    if (rate == 1)
      outcomes.push_back({p, loss});
    else  // (1 − q) Q + q P against Q
      outcomes.push_back({p * std::exp(-loss) * (1 + rate * std::expm1(loss)), std::log1p(rate * std::expm1(loss))});
  }
  return std::make_shared<FewOutcomesLaw>(outcomes, rate == 1 ? epsilon : 0);
}

}  // namespace sotto::accountants
