#pragma once
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "accountants/event/parts.h"
#include "accountants/spend.h"
#include "accountants/unit_cost.h"

namespace sotto::accountants {

// In what a sequence of mechanisms adds up: RDP at some orders, (ρ, δ) of approximate zCDP, or μ² of Gaussian DP.
enum class Currency { rdp, zcdp, gdp };

// The running sums of what was charged, one a line: a line an order for RDP, two (ρ, δ) for zCDP, one for GDP. Equal
// events are merged and counted, so n uses of one event cost n · cost rounded once; lines are exact sums of such terms.
// A known event costs O(lines) a call.
class SpendTally {
 public:
  SpendTally(Currency currency, NeighbouringRelation relation, std::vector<double> orders = {});
  SpendTally(const SpendTally& other) { *this = other; }
  SpendTally& operator=(const SpendTally& other);

  NeighbouringRelation relation() const { return relation_; }
  bool supports(const Event& event) const;
  // Whether one of event/parts.h has a cost in the currency.
  static bool takes(Currency currency, const Event& part, NeighbouringRelation relation);
  const std::vector<Spend>& lines() const { return lines_; }

  // The lines as they would be after `count` more uses; good until the next call. Throws configuration, saying what is
  // taken, when the event is invalid or has no cost in this currency; invalid_argument unless 0 ≤ count ≤ 2^53.
  const std::vector<Spend>& preview(const Event& event, int64_t count);
  // Makes the last preview the truth.
  void commit();
  // Both at once.
  void add(const Event& event, int64_t count) {
    preview(event, count);
    commit();
  }

 private:
  struct Known {
    std::vector<UnitCost> costs;  // of one use of the event: a row of lines for each of its parts
    int64_t count = 0;
    std::vector<Spend> terms;  // what the uses cost, part of lines_
  };
  struct Hash {
    size_t operator()(const Event& event) const;
  };
  using Entry = std::pair<const Event, Known>;
  Entry& known(const Event& event);
  void append_costs(const EventUses& part, std::vector<UnitCost>& costs) const;

  Currency currency_ = Currency::rdp;
  NeighbouringRelation relation_ = NeighbouringRelation::add_remove;
  std::vector<double> orders_;
  std::vector<Spend> lines_, new_lines_, new_terms_;
  int64_t new_count_ = 0;
  std::unordered_map<Event, Known, Hash> known_;
  Entry* last_ = nullptr;  // in known_
};

}  // namespace sotto::accountants
