#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "accountants/ledger.h"
#include "accountants/ledger/authority.h"
#include "accountants/rdp/curve.h"

namespace sotto::accountants {

// What binds runs to each other: the ledger refuses what breaks these rules, and verify() holds its rows to them.

// Who the runs so far are about. One of each data set and of each content is enough: who agrees with it agrees with
// all.
class KnownPeople {
 public:
  // Throws invalid_argument when an earlier run reads the same content under another name, or the name with another
  // unit or relation.
  void check(const RunEntry& entry) const;
  void add(const RunEntry& entry);

 private:
  std::map<std::string, RunEntry> by_data_set_, by_content_;
};

class ClaimSums;

// What a run holds of the budgets that concern it.
struct Claim {
  const RunEntry* entry;
  const RdpCurve* curve;  // of a step, at the filter's orders
  int64_t reserved, charged;
  std::optional<int64_t> closed_at;
  int64_t steps() const { return closed_at ? charged : reserved; }
  // A run counts, with all its steps, in every period that it was open in: so a period never holds less than was
  // charged in it, and an open run that outlives its period takes no more of the next than it held of the last.
  bool counts(const Grant& grant, int64_t now) const;
};

// Why that is more than the run's own epsilon, which follows.
inline constexpr const char* kWhyMore = " (what adds runs up holds however they are planned, and is above a run's own ";

// Throws budget_exhausted when a grant that concerned a run there has ended without a successor, or when the ledger has
// an owner and no grant concerns it. Otherwise it will not before the time that is returned, as long as nobody grants
// anything.
int64_t check_granted(const Authority& authority, const std::string& run_id, const Scope& there, int64_t now);

// The same, and when `added` does not fit beside the others into every grant that concerns it. `slack` is how much
// further, relatively, a claim may go.
void check_grants(const Authority& authority, ClaimSums& runs, const Claim& added, int64_t now, double slack = 0);

// Throws configuration unless the run lies within what the member may spend on.
void check_within(const Member& member, const RunEntry& run);

}  // namespace sotto::accountants
