#include "accountants/rdp/rdp_accountant.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "accountants/rdp/conversion.h"
#include "accountants/rdp/orders.h"
#include "accountants/total_variation.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

// The least of a function of default_orders()' indices that has one valley, by golden section. Whatever index it stops
// at is a bound.
template <class Value>
double least(const Value& at) {
  std::vector<double> known(default_orders().size(), kUnknown);
  const auto ask = [&](size_t i) {
    if (std::isnan(known[i])) known[i] = at(i);
    return known[i];
  };
  size_t low = 0, high = default_orders().size() - 1;
  while (high - low > 2) {
    const size_t left = low + (high - low) * 382 / 1000, right = std::max(left + 1, low + (high - low) * 618 / 1000);
    // Of two infinite ones the larger order is no better.
    if (ask(left) <= ask(right))
      high = right;
    else
      low = left;
  }
  double best = std::numeric_limits<double>::infinity();
  for (size_t i = low; i <= high; ++i) best = std::min(best, ask(i));
  return best;
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
  if (curve->at(0) > 0) parts_.push_back({event, count, std::move(curve)});
}

double RdpAccountant::total(size_t index) const {
  double sum = 0;
  for (const Part& part : parts_) sum += static_cast<double>(part.count) * part.curve->at(index);
  // Each addition and each product may have rounded down.
  return sum * (1 + static_cast<double>(parts_.size() + 1) * std::numeric_limits<double>::epsilon());
}

RdpCurve RdpAccountant::table() const {
  RdpCurve all(default_orders().size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = total(i);
  return all;
}

Bracket RdpAccountant::epsilon_at(double delta) const {
  if (parts_.empty()) return {0, 0};
  if (delta <= 0) return {0, std::numeric_limits<double>::infinity()};
  if (total_variation(total(0)) < delta) return {0, 0};
  return {0, std::max(0.0, least([&](size_t i) { return epsilon_at_order(default_orders()[i], total(i), delta); }))};
}

Bracket RdpAccountant::delta_at(double epsilon) const {
  if (parts_.empty() || std::isinf(epsilon)) return {0, 0};
  const double log_delta =
      std::min(0.0, least([&](size_t i) { return log_delta_at_order(default_orders()[i], total(i), epsilon); }));
  return {0, std::min(total_variation(total(0)), delta_of_log(log_delta))};
}

}  // namespace sotto::accountants
