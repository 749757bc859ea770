#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "accountants/ledger/shared_rules.h"

namespace sotto::accountants {

// What several runs may spend together, on a data set or of a grant: Σ steps · curve at each order. A privacy filter
// (Feldman and Zrnic 2021): runs may be planned after looking at earlier ones, and the total still holds (cap.epsilon,
// cap.delta). At one order fixed in advance the running sum may approach that order's budget; several orders each get
// an equal share of delta, since which of them still fits at the end depends on the data.
class FilterSum {
 public:
  explicit FilterSum(size_t orders) : total_(orders, 0.0), rounded_(orders, 0.0) {}
  void add(const Claim& run) { move(*run.curve, run.steps(), 1); }
  // What was added as the same claim. After so much that rounding shows, the sum is stale: make it anew.
  void take_away(const Claim& run) { move(*run.curve, run.steps(), -1); }
  bool stale() const { return stale_; }
  // What all that was added spends at delta, rounded up.
  double epsilon(const std::vector<double>& orders, double delta) const;

 private:
  void move(const RdpCurve& step, int64_t steps, double sign);

  RdpCurve total_, rounded_;  // the latter: by how much the former may have been rounded
  bool stale_ = false;
};

// What runs claim together of caps and grants, kept up as runs come and end: one more run costs what it changes, not a
// walk over all earlier ones. The figures are those of claimed() over all runs, never below the true sum and at most a
// part in 10^9 above.
class ClaimSums {
 public:
  explicit ClaimSums(std::vector<double> orders) : orders_(std::move(orders)) {}

  // What the claim points to must outlive this.
  void add(const Claim& run);
  // An open run ends with that many charged steps; others are passed over.
  void close(std::string_view run_id, int64_t charged, int64_t at);
  int64_t open_runs() const { return open_runs_; }
  const std::deque<Claim>& runs() const { return runs_; }  // as they came

  // The ε that those of the runs on the data set and `added` hold together, at delta.
  double claimed(const std::string& data_set, double delta, const Claim& added);
  // The ε that those of the runs and `added` hold of the grant, which has a row, in its period at `now`.
  double claimed(const Grant& grant, int64_t now, const Claim& added);
  // The same without another, of a grant that need have no row.
  double claimed(const Grant& grant, int64_t now) const;

 private:
  struct GrantSum {
    Grant grant;
    int64_t period_start;
    FilterSum sum;
  };

  FilterSum all_on(const std::string& data_set) const;
  FilterSum all_of(const Grant& grant, int64_t now) const;

  std::vector<double> orders_;
  std::deque<Claim> runs_;  // in their place for good
  int64_t open_runs_ = 0;
  std::unordered_map<std::string_view, Claim*> by_id_;
  std::map<std::string, FilterSum> data_sets_;  // that were asked for
  std::map<int64_t, GrantSum> grants_;          // likewise, by row
};

}  // namespace sotto::accountants
