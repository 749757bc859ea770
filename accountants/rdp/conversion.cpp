#include "accountants/rdp/conversion.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace sotto::accountants {
namespace {

// Each of the handful of operations below errs by a rounding of the sizes involved.
constexpr double kMargin = 16 * std::numeric_limits<double>::epsilon();

}  // namespace

double epsilon_at_order(double order, double rdp, double delta) {
  const double log_delta = std::log(delta), log_order = std::log(order), shrink = std::log1p(-1 / order);
  const double tail = (log_delta + log_order) / (order - 1);
  const double size = rdp - shrink + (log_order - log_delta) / (order - 1);
  return rdp + shrink - tail + kMargin * size;
}

double log_delta_at_order(double order, double rdp, double epsilon) {
  const double log_order = std::log(order), shrink = std::log1p(-1 / order);
  const double size = (order - 1) * (rdp + epsilon - shrink) + log_order;
  return (order - 1) * (rdp - epsilon + shrink) - log_order + kMargin * size;
}

double epsilon_from_rdp(const std::vector<double>& orders, const std::vector<double>& rdp, double delta) {
  require(orders.size() == rdp.size(), "need an RDP value an order: ", rdp.size(), " for ", orders.size(), " orders");
  double best = std::numeric_limits<double>::infinity();
  if (delta <= 0) return best;
  for (size_t i = 0; i < orders.size(); ++i)
    if (std::isfinite(rdp[i])) best = std::min(best, epsilon_at_order(orders[i], rdp[i], delta));
  return std::max(best, 0.0);
}

double delta_from_rdp(const std::vector<double>& orders, const std::vector<double>& rdp, double epsilon) {
  require(orders.size() == rdp.size(), "need an RDP value an order: ", rdp.size(), " for ", orders.size(), " orders");
  if (std::isinf(epsilon)) return 0;
  double best = 0;  // log δ
  for (size_t i = 0; i < orders.size(); ++i)
    if (std::isfinite(rdp[i])) best = std::min(best, log_delta_at_order(orders[i], rdp[i], epsilon));
  return delta_of_log(best);
}

double delta_of_log(double log_delta) {
  // exp may underflow to 0, which would claim more than was shown.
  return std::min(1.0, std::max(std::exp(log_delta) * (1 + kMargin), std::numeric_limits<double>::min()));
}

double largest_rdp(double order, double epsilon, double delta) {
  double rdp = epsilon - std::log1p(-1 / order) + (std::log(delta) + std::log(order)) / (order - 1);
  // What the conversion adds for its rounding, and a rounding of the subtraction.
  for (double over = 0; rdp > 0 && (over = epsilon_from_rdp({order}, {rdp}, delta) - epsilon) > 0;)
    rdp = std::nextafter(rdp - over, 0.0);
  return std::max(rdp, 0.0);
}

double filter_epsilon(const std::vector<double>& orders, const std::vector<double>& rdp, double delta) {
  return epsilon_from_rdp(orders, rdp, delta / static_cast<double>(orders.size()));
}

}  // namespace sotto::accountants
