#include "accountants/rdp/rdp_accountant.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "accountants/rdp/conversion.h"
#include "accountants/rdp/orders.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

// Total variation bounds δ at every ε, and the KL divergence, itself at most the RDP of any order, bounds total
// variation: TV² ≤ 1 − e^−KL (Bretagnolle and Huber 1979). Better than any order of the grid when almost nothing was
// spent.
double total_variation_squared(const RdpCurve& total) {
  return -std::expm1(-total.front());
}

}  // namespace

void RdpAccountant::add(const Event& event, int64_t count) {
  for (Part& part : parts_) {
    if (!(part.event == event)) continue;
    require(count <= (int64_t{1} << 53) - part.count, "more than 2^53 uses of ", to_json(event));
    part.count += count;
    return;
  }
  auto curve = default_rdp_curve(event, relation());
  if (curve->front() > 0) parts_.push_back({event, count, std::move(curve)});
}

RdpCurve RdpAccountant::total() const {
  RdpCurve sum(default_orders().size(), 0.0);
  for (const Part& part : parts_)
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(part.count) * (*part.curve)[i];
  // Each addition and each product may have rounded down.
  const double up = 1 + static_cast<double>(parts_.size() + 1) * std::numeric_limits<double>::epsilon();
  for (double& each : sum) each *= up;
  return sum;
}

Bracket RdpAccountant::epsilon_at(double delta) const {
  if (parts_.empty()) return {0, 0};
  const RdpCurve sum = total();
  if (total_variation_squared(sum) < delta * delta * (1 - 1e-12)) return {0, 0};
  return {0, epsilon_from_rdp(default_orders(), sum, delta)};
}

Bracket RdpAccountant::delta_at(double epsilon) const {
  if (parts_.empty()) return {0, 0};
  const RdpCurve sum = total();
  return {0, std::min(std::sqrt(total_variation_squared(sum)) * (1 + 1e-12),
                      delta_from_rdp(default_orders(), sum, epsilon))};
}

}  // namespace sotto::accountants
