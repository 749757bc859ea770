#pragma once
#include <vector>

#include "accountants/ledger.h"
#include "accountants/rdp/curve.h"

namespace sotto::accountants {

// What binds runs to each other: the ledger refuses what breaks these rules, and verify() holds its rows to them.

// Throws invalid_argument when `known` and `entry` read the same content under two names, or one name with two units.
void check_same_people(const RunEntry& known, const RunEntry& entry);

// What the runs on one data set may spend together. A privacy filter (Feldman and Zrnic 2021): runs may be planned
// after looking at earlier ones, and the total still holds (cap.epsilon, cap.delta). At one order fixed in advance the
// running sum may approach that order's budget; several orders each get an equal share of delta, since which of them
// still fits at the end depends on the data.
class CapFilter {
 public:
  explicit CapFilter(const std::vector<double>& orders) : orders_(orders), total_(orders.size(), 0.0) {}
  RdpCurve curve(const RunEntry& run) const { return rdp_curve(run.event, run.relation, orders_); }
  // Adds that many steps of `step`, one of curve()'s.
  void add(const RdpCurve& step, int64_t steps);
  // What all that was added spends at the cap's delta, rounded up.
  double epsilon(double delta) const;

 private:
  const std::vector<double>& orders_;
  RdpCurve total_;
  int64_t added_ = 0;
};

}  // namespace sotto::accountants
