#pragma once
#include <string>
#include <utility>
#include <vector>

#include "accountants/bracket.h"

namespace sotto::report {

// What a plan costs at several δ, according to one accountant. An upper end may be infinite, a lower one 0.
struct PrivacyCurve {
  struct Point {
    double delta;
    accountants::Bracket epsilon;
  };
  std::string accountant;
  std::vector<Point> points;
};

// One page that opens without a network: ε over δ, a line a curve and, where a curve is known from below, another;
// every number in a table. `facts` are pairs of a term and what it is. Needs a curve with a finite point.
std::string curve_page(const std::string& title, const std::vector<std::pair<std::string, std::string>>& facts,
                       const std::vector<PrivacyCurve>& curves);

}  // namespace sotto::report
