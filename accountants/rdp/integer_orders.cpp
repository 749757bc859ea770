#include "accountants/rdp/integer_orders.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sotto::accountants {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kRounding = std::numeric_limits<double>::epsilon();

}  // namespace

const std::vector<double>& log_factorials_to_most() {
  static const std::vector<double> table = [] {
    std::vector<double> logs;
    for (int l = 0; l <= kMostSummedOrder; ++l) logs.push_back(std::lgamma(l + 1.0));
    return logs;
  }();
  return table;
}

std::function<double(double order)> remembered_at_integers(const std::function<double(double order)>& rdp) {
  return [rdp, known = std::vector<double>(2, 0.0)](double order) mutable {
    while (known.size() <= static_cast<size_t>(order)) known.push_back(rdp(static_cast<double>(known.size())));
    return known[static_cast<size_t>(order)];
  };
}

double log_one_plus_sum(const std::vector<double>& logs, double magnitude) {
  const double largest = *std::max_element(logs.begin(), logs.end());
  if (std::isinf(largest)) return largest > 0 ? largest : 0;
  double sum = 0;
  for (const double each : logs) sum += std::exp(each - largest);
  const double log_excess = largest + std::log(sum) + 1e-12 + 16 * kRounding * magnitude;
  return log_excess > 40 ? log_excess + 1e-15 : std::log1p(std::exp(log_excess));
}

std::vector<double> rdp_from_integer_orders(const std::vector<double>& orders,
                                            const std::function<double(double order)>& rdp,
                                            const std::function<double(int order)>& moment) {
  const auto at = [&](double whole) { return whole == 1 ? 0.0 : moment(static_cast<int>(whole)); };
  std::vector<double> found;
  for (const double order : orders) {
    double bound = rdp(order);
    if (order <= kMostSummedOrder) {
      const double below = std::floor(order), share = order - below;
      const double low = at(below), high = share == 0 ? low : at(below + 1);
      bound = std::min(bound, (low + share * (high - low)) / (order - 1) * (1 + 8 * kRounding));
    }
    found.push_back(std::isnan(bound) ? kInfinity : bound);
  }
  for (size_t i = found.size(); i-- > 1;) found[i - 1] = std::min(found[i - 1], found[i]);
  return found;
}

}  // namespace sotto::accountants
