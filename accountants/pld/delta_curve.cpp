#include "accountants/pld/delta_curve.h"

#include <algorithm>
#include <cmath>

#include "accountants/pld/numerics.h"

namespace sotto::accountants {

LossCells cells_over_curve(std::vector<double> values, double step) {
  const size_t last = values.size() - 1;
  for (size_t i = 1; i <= last; ++i) values[i] = std::min(values[i], values[i - 1]);  // δ never rises
  // From the top down, no chord flatter than the one after it: rounding may have bent them.
  std::vector<double> q(values.size()), at(values.size());
  for (size_t i = 0; i <= last; ++i) at[i] = std::exp(static_cast<double>(i) * step);
  double slope = 0, height = values[last];
  for (size_t i = last; i-- > 0;) {
    const double chord = std::max(slope, (values[i] - height) / (at[i + 1] - at[i]));
    q[i + 1] = chord - slope;
    height += chord * (at[i + 1] - at[i]);
    slope = chord;
  }
  LossCells cells;
  double counted = 2 * values[last];
  for (size_t i = 1; i <= last; ++i) counted += q[i] * (1 + at[i]);
  for (size_t i = last; i > 0; --i)
    if (q[i] > 0) {
      cells.p.push_back(q[i]);
      cells.q.push_back(q[i] * at[i]);
      cells.loss.push_back(-static_cast<double>(i) * step);
    }
  // More at a loss of 0 than there is costs more.
  const double rest = std::max(0.0, 1 - counted) + 1e-12;
  cells.p.push_back(rest);
  cells.q.push_back(rest);
  cells.loss.push_back(0);
  for (size_t i = 1; i <= last; ++i)
    if (q[i] > 0) {
      cells.p.push_back(q[i] * at[i]);
      cells.q.push_back(q[i]);
      cells.loss.push_back(static_cast<double>(i) * step);
    }
  cells.p_at_infinity = cells.q_at_infinity = values[last];
  // Differences of slopes: each is off by a rounding of the slope, and a value adds up some of `last` of them.
  cells.mass_error = 1e-13 + 4 * kUnit * static_cast<double>(last * last) * at[last];
  cells.loss_error = 8 * kUnit * static_cast<double>(last) * step;
  return cells;
}

DeltaCurve delta_curve(double most, size_t levels, const std::function<double(double epsilon)>& roughly,
                       const std::function<double(double epsilon)>& delta) {
  constexpr double kNegligible = 1e-18;
  double low = 0, high = most;
  for (int i = 0; i < 30; ++i) {
    const double middle = (low + high) / 2;
    (roughly(middle) > kNegligible ? low : high) = middle;
  }
  DeltaCurve curve{{}, high / static_cast<double>(levels - 1)};
  for (size_t i = 0; i < levels; ++i) curve.values.push_back(delta(static_cast<double>(i) * curve.step));
  return curve;
}

}  // namespace sotto::accountants
