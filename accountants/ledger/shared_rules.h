#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "accountants/ledger.h"
#include "accountants/ledger/authority.h"
#include "accountants/rdp/curve.h"

namespace sotto::accountants {

// What binds runs to each other: the ledger refuses what breaks these rules, and verify() holds its rows to them.

// Throws invalid_argument when `known` and `entry` read the same content under two names, or one name with two units.
void check_same_people(const RunEntry& known, const RunEntry& entry);

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

// The ε that those of the runs on the data set hold together, at delta.
double claimed(const std::string& data_set, double delta, const std::vector<Claim>& runs,
               const std::vector<double>& orders);

// The ε that those of the runs hold of the grant in its period at `now`, at grant.delta.
double claimed(const Grant& grant, const std::vector<Claim>& runs, int64_t now, const std::vector<double>& orders);

// Throws budget_exhausted when a grant that concerned a run there has ended without a successor, or when the ledger has
// an owner and no grant concerns it.
void check_granted(const Authority& authority, const std::string& run_id, const Scope& there, int64_t now);

// The same, and when `added` does not fit beside the others into every grant that concerns it. `slack` is how much
// further, relatively, a claim may go.
void check_grants(const Authority& authority, std::vector<Claim> runs, const Claim& added, int64_t now,
                  const std::vector<double>& orders, double slack = 0);

// Throws configuration unless the run lies within what the member may spend on.
void check_within(const Member& member, const RunEntry& run);

}  // namespace sotto::accountants
