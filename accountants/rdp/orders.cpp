#include "accountants/rdp/orders.h"

#include <algorithm>
#include <cmath>

namespace sotto::accountants {

const std::vector<double>& default_orders() {
  static const std::vector<double> orders = [] {
    std::vector<double> grid;
    for (double excess = 0.01; excess < 0.5; excess *= 1.12) grid.push_back(1 + excess);
    for (int tenth = 15; tenth < 110; ++tenth) grid.push_back(tenth / 10.0);
    for (int quarter = 44; quarter < 80; ++quarter) grid.push_back(quarter / 4.0);
    for (int half = 40; half < 80; ++half) grid.push_back(half / 2.0);
    for (int order = 40; order < 64; ++order) grid.push_back(order);
    for (double order = 64; order < 4096; order *= 1.04) grid.push_back(std::round(order));
    for (double order = 4096; order < 65536; order *= 1.1) grid.push_back(std::round(order));
    grid.push_back(65536);
    std::sort(grid.begin(), grid.end());
    grid.erase(std::unique(grid.begin(), grid.end()), grid.end());
    return grid;
  }();
  return orders;
}

const std::vector<double>& filter_orders() {
  static const std::vector<double> orders = {1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 256};
  return orders;
}

}  // namespace sotto::accountants
