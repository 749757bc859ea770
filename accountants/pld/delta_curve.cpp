#include "accountants/pld/delta_curve.h"

#include <algorithm>
#include <cmath>

#include "accountants/pld/numerics.h"

namespace sotto::accountants {

namespace {

// Q masses at the levels, whose δ has these values, and a = e^level. From the top down, no chord flatter than the one
// after it: rounding may have bent them.
std::vector<double> masses_under(std::vector<double> values, const std::vector<double>& at) {
  const size_t last = values.size() - 1;
  for (size_t i = 1; i <= last; ++i) values[i] = std::min(values[i], values[i - 1]);  // δ never rises
  std::vector<double> q(values.size());
  double slope = 0, height = values[last];
  for (size_t i = last; i-- > 0;) {
    const double chord = std::max(slope, (values[i] - height) / (at[i + 1] - at[i]));
    q[i + 1] = chord - slope;
    height += chord * (at[i + 1] - at[i]);
    slope = chord;
  }
  return q;
}

}  // namespace

LossCells cells_over_curve(const DeltaCurve& curve) {
  return cells_over_curves(curve, curve.delta);
}

LossCells cells_over_curves(const DeltaCurve& remove, const std::vector<double>& add) {
  const std::vector<double>& level = remove.level;
  const size_t last = level.size() - 1;
  std::vector<double> at(level.size());
  double narrowest = kInfinity;
  for (size_t i = 0; i <= last; ++i) at[i] = std::exp(level[i]);
  for (size_t i = 0; i < last; ++i) narrowest = std::min(narrowest, level[i + 1] - level[i]);
  const std::vector<double> up = masses_under(remove.delta, at), down = masses_under(add, at);
  LossCells cells;
  cells.p_at_infinity = remove.delta[last], cells.q_at_infinity = add[last];
  double p = cells.p_at_infinity, q = cells.q_at_infinity;
  for (size_t i = last; i > 0; --i) {
    p += up[i] * at[i] + down[i];
    q += up[i] + down[i] * at[i];
    if (!(down[i] > 0)) continue;
    cells.p.push_back(down[i]);
    cells.q.push_back(down[i] * at[i]);
    cells.loss.push_back(-level[i]);
  }
  // More at a loss of 0 than there is costs more.
  const double rest = std::max(0.0, 1 - std::min(p, q)) + 1e-12;
  cells.p.push_back(rest);
  cells.q.push_back(rest);
  cells.loss.push_back(0);
  for (size_t i = 1; i <= last; ++i) {
    if (!(up[i] > 0)) continue;
    cells.p.push_back(up[i] * at[i]);
    cells.q.push_back(up[i]);
    cells.loss.push_back(level[i]);
  }
  // Masses are differences of slopes, each off by a rounding u of its slope, which moves δ at a level i by Σ_k u
  // slope_k (a_k − a_i). That is at most u / step of Σ_k slope_k (a_{k+1} − a_k) = δ.
  cells.mass_error = 1e-13 + 16 * kUnit * (static_cast<double>(last) + 1 / narrowest);
  cells.loss_error = 8 * kUnit * level[last];
  return cells;
}

std::vector<double> levels_for(double most, size_t count, const std::function<double(double epsilon)>& roughly) {
  const auto reach = [&](double negligible) {
    double low = 0, high = most;
    for (int i = 0; i < 24; ++i) {
      const double middle = (low + high) / 2;
      (roughly(middle) > negligible ? low : high) = middle;
    }
    return high;
  };
  const double end = reach(1e-18), near = std::min(end * 0.9, reach(1e-10));
  const size_t dense = count * 2 / 3;
  std::vector<double> levels;
  for (size_t i = 0; i < dense; ++i) levels.push_back(near * static_cast<double>(i) / static_cast<double>(dense));
  for (size_t i = 0; i < count - dense; ++i)
    levels.push_back(near + (end - near) * static_cast<double>(i) / static_cast<double>(count - dense - 1));
  return levels;
}

}  // namespace sotto::accountants
