#include "accountants/zcdp/tcdp_accountant.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "accountants/rdp/curve.h"
#include "accountants/zcdp/conversion.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// From 1.01 to the largest truncation, through all of them.
const std::vector<double>& grid() {
  static const std::vector<double> orders = [] {
    std::vector<double> all = TcdpAccountant::truncations();
    for (double order = 1.01; order < all[TcdpAccountant::truncations().size() - 1]; order *= 1.02)
      all.push_back(order < 64 ? order : std::round(order));
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
  }();
  return orders;
}

}  // namespace

const std::vector<double>& TcdpAccountant::truncations() {
  static const std::vector<double> omegas = {2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};
  return omegas;
}

std::vector<double> tcdp_rho(const Event& event, NeighbouringRelation relation) {
  const auto& orders = grid();
  const RdpCurve curve = rdp_curve(event, relation, orders);
  std::vector<double> found;
  double most = 0, below = 1;
  size_t i = 0;
  for (const double omega : TcdpAccountant::truncations()) {
    for (; i < orders.size() && orders[i] <= omega; below = orders[i], ++i) most = std::max(most, curve[i] / below);
    found.push_back(most * (1 + 2 * std::numeric_limits<double>::epsilon()));
  }
  return found;
}

TcdpAccountant::TcdpAccountant(NeighbouringRelation relation) : Accountant(relation) {}

bool TcdpAccountant::supports(const Event& event, NeighbouringRelation relation) const {
  return has_rdp_curve(event, relation);
}

void TcdpAccountant::add(const Event& event, int64_t count) {
  for (Part& part : parts_) {
    if (!(part.event == event)) continue;
    require(count <= (int64_t{1} << 53) - part.count, "more than 2^53 uses of ", to_json(event));
    part.count += count;
    return;
  }
  auto rho = tcdp_rho(event, relation());
  if (rho.front() > 0) parts_.push_back({event, count, std::move(rho)});
}

std::vector<double> TcdpAccountant::rho() const {
  std::vector<double> sum(truncations().size(), 0.0);
  for (const Part& part : parts_)
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(part.count) * part.rho[i];
  for (double& each : sum) each *= 1 + static_cast<double>(parts_.size() + 1) * std::numeric_limits<double>::epsilon();
  return sum;
}

Bracket TcdpAccountant::epsilon_at(double delta) const {
  if (parts_.empty()) return {0, 0};
  double best = kInfinity;
  const auto sum = rho();
  for (size_t i = 0; i < sum.size(); ++i) best = std::min(best, epsilon_from_tcdp(sum[i], truncations()[i], delta));
  return {0, best};
}

Bracket TcdpAccountant::delta_at(double epsilon) const {
  if (parts_.empty() || std::isinf(epsilon)) return {0, 0};
  double best = 1;
  const auto sum = rho();
  for (size_t i = 0; i < sum.size(); ++i) best = std::min(best, delta_from_tcdp(sum[i], truncations()[i], epsilon));
  return {0, best};
}

}  // namespace sotto::accountants
