#include "accountants/ledger/shared_rules.h"

#include <algorithm>
#include <limits>

#include "accountants/ledger/calendar.h"
#include "accountants/ledger/claim_sums.h"
#include "accountants/ledger/payload.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

void check_same_people(const RunEntry& known, const RunEntry& entry) {
  require(known.data_set == entry.data_set || known.data_hash != entry.data_hash, "the content ", entry.data_hash,
          " is in the ledger as data set ", known.data_set, ", not ", entry.data_set,
          "; the same people must keep their name");
  if (known.data_set != entry.data_set) return;
  require(known.unit_of_privacy == entry.unit_of_privacy && known.relation == entry.relation, "the data set ",
          entry.data_set, " is accounted per ", known.unit_of_privacy, " under ", to_string(known.relation),
          "; a run per ", entry.unit_of_privacy, " under ", to_string(entry.relation), " cannot be added to it");
}

}  // namespace

void KnownPeople::check(const RunEntry& entry) const {
  for (const auto* known : {&by_data_set_, &by_content_})
    if (const auto found = known->find(known == &by_data_set_ ? entry.data_set : entry.data_hash);
        found != known->end())
      check_same_people(found->second, entry);
}

void KnownPeople::add(const RunEntry& entry) {
  by_data_set_.try_emplace(entry.data_set, entry);
  by_content_.try_emplace(entry.data_hash, entry);
}

bool Claim::counts(const Grant& grant, int64_t now) const {
  return concerns(grant.scope, scope_of(*entry)) && (!closed_at || *closed_at >= grant.period_start(now));
}

int64_t check_granted(const Authority& authority, const std::string& run_id, const Scope& there, int64_t now) {
  bool granted = !authority.has_owner();
  int64_t until = std::numeric_limits<int64_t>::max();
  for (const Grant& grant : authority.grants()) {
    if (!concerns(grant.scope, there)) continue;
    if (grant.expired(now) && !authority.current(grant.scope, now))
      throw Error(ErrorKind::budget_exhausted,
                  cat("the grant for ", to_text(grant.scope), " ended on ", utc_text(*grant.expires), "; the run ",
                      run_id, " needs a new one from an owner of the ledger"));
    granted = true;
    if (grant.expires && !grant.expired(now)) until = std::min(until, *grant.expires);
  }
  if (!granted)
    throw Error(ErrorKind::budget_exhausted, cat("no grant covers ", to_text(there), ", where the run ", run_id,
                                                 " would spend; an owner of the ledger can give one"));
  return until;
}

void check_grants(const Authority& authority, ClaimSums& runs, const Claim& added, int64_t now, double slack) {
  check_granted(authority, added.entry->run_id, scope_of(*added.entry), now);
  for (const Grant& grant : authority.grants()) {
    if (grant.expired(now) || !added.counts(grant, now)) continue;
    const double would_spend = runs.claimed(grant, now, added);
    if (would_spend <= grant.epsilon * (1 + slack)) continue;
    const auto end = grant.period_end(now);
    throw Error(ErrorKind::budget_exhausted,
                cat("the runs on ", to_text(grant.scope), " with ", added.steps(), " steps of ", added.entry->run_id,
                    " would spend epsilon ", would_spend, " of the ", grant.epsilon, " granted at delta ", grant.delta,
                    grant.renew_days ? cat(" until ", utc_text(*end)) : "", kWhyMore, added.entry->epsilon_cap,
                    "); release idle runs, plan fewer steps or add noise"));
  }
}

void check_within(const Member& member, const RunEntry& run) {
  const Scope there = scope_of(run);
  if (!within(there, member.scope))
    throw Error(ErrorKind::configuration, cat("the run ", run.run_id, " is for ", to_text(there), ", but ", member.name,
                                              " may spend on ", to_text(member.scope), " alone"));
}

}  // namespace sotto::accountants
