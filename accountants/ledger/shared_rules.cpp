#include "accountants/ledger/shared_rules.h"

#include "accountants/ledger/calendar.h"
#include "accountants/ledger/payload.h"
#include "accountants/rdp/conversion.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

// What several runs may spend together, on a data set or of a grant. A privacy filter (Feldman and Zrnic 2021): runs
// may be planned after looking at earlier ones, and the total still holds (cap.epsilon, cap.delta). At one order fixed
// in advance the running sum may approach that order's budget; several orders each get an equal share of delta, since
// which of them still fits at the end depends on the data.
class CapFilter {
 public:
  explicit CapFilter(const std::vector<double>& orders) : orders_(orders), total_(orders.size(), 0.0) {}
  // Adds that many steps of `step`, at the orders.
  void add(const RdpCurve& step, int64_t steps);
  // What all that was added spends at the cap's delta, rounded up.
  double epsilon(double delta) const;

 private:
  const std::vector<double>& orders_;
  RdpCurve total_;
  int64_t added_ = 0;
};

void CapFilter::add(const RdpCurve& step, int64_t steps) {
  for (size_t i = 0; i < total_.size(); ++i)
    if (steps > 0) total_[i] += static_cast<double>(steps) * step[i];
  ++added_;
}

double CapFilter::epsilon(double delta) const {
  RdpCurve raised = total_;
  for (double& each : raised) each *= 1 + static_cast<double>(2 + added_) * 2.3e-16;
  return filter_epsilon(orders_, raised, delta);
}

}  // namespace

void check_same_people(const RunEntry& known, const RunEntry& entry) {
  require(known.data_set == entry.data_set || known.data_hash != entry.data_hash, "the content ", entry.data_hash,
          " is in the ledger as data set ", known.data_set, ", not ", entry.data_set,
          "; the same people must keep their name");
  if (known.data_set != entry.data_set) return;
  require(known.unit_of_privacy == entry.unit_of_privacy && known.relation == entry.relation, "the data set ",
          entry.data_set, " is accounted per ", known.unit_of_privacy, " under ", to_string(known.relation),
          "; a run per ", entry.unit_of_privacy, " under ", to_string(entry.relation), " cannot be added to it");
}

bool Claim::counts(const Grant& grant, int64_t now) const {
  return concerns(grant.scope, scope_of(*entry)) && (!closed_at || *closed_at >= grant.period_start(now));
}

double claimed(const std::string& data_set, double delta, const std::vector<Claim>& runs,
               const std::vector<double>& orders) {
  CapFilter filter(orders);
  for (const Claim& run : runs)
    if (run.entry->data_set == data_set) filter.add(*run.curve, run.steps());
  return filter.epsilon(delta);
}

double claimed(const Grant& grant, const std::vector<Claim>& runs, int64_t now, const std::vector<double>& orders) {
  CapFilter filter(orders);
  int64_t steps = 0;
  for (const Claim& run : runs)
    if (run.counts(grant, now) && run.steps() > 0) filter.add(*run.curve, run.steps()), steps += run.steps();
  return steps ? filter.epsilon(grant.delta) : 0;
}

void check_granted(const Authority& authority, const std::string& run_id, const Scope& there, int64_t now) {
  bool granted = !authority.has_owner();
  for (const Grant& grant : authority.grants()) {
    if (!concerns(grant.scope, there)) continue;
    if (grant.expired(now) && !authority.current(grant.scope, now))
      throw Error(ErrorKind::budget_exhausted,
                  cat("the grant for ", to_text(grant.scope), " ended on ", utc_text(*grant.expires), "; the run ",
                      run_id, " needs a new one from an owner of the ledger"));
    granted = true;
  }
  if (!granted)
    throw Error(ErrorKind::budget_exhausted, cat("no grant covers ", to_text(there), ", where the run ", run_id,
                                                 " would spend; an owner of the ledger can give one"));
}

void check_grants(const Authority& authority, std::vector<Claim> runs, const Claim& added, int64_t now,
                  const std::vector<double>& orders, double slack) {
  check_granted(authority, added.entry->run_id, scope_of(*added.entry), now);
  runs.push_back(added);
  for (const Grant& grant : authority.grants()) {
    if (grant.expired(now) || !added.counts(grant, now)) continue;
    const double would_spend = claimed(grant, runs, now, orders);
    if (would_spend <= grant.epsilon * (1 + slack)) continue;
    const auto end = grant.period_end(now);
    throw Error(ErrorKind::budget_exhausted,
                cat("the runs on ", to_text(grant.scope), " with ", added.steps(), " steps of ", added.entry->run_id,
                    " would spend epsilon ", would_spend, " of the ", grant.epsilon, " granted at delta ", grant.delta,
                    grant.renew_days ? cat(" until ", utc_text(*end)) : "",
                    "; release idle runs, plan fewer steps or add noise"));
  }
}

void check_within(const Member& member, const RunEntry& run) {
  const Scope &allowed = member.scope, there = scope_of(run);
  const std::pair<const std::string*, const std::string*> paths[] = {{&there.organisation, &allowed.organisation},
                                                                     {&there.data_set, &allowed.data_set},
                                                                     {&there.purpose, &allowed.purpose},
                                                                     {&there.team, &allowed.team},
                                                                     {&there.group, &allowed.group}};
  for (const auto& [path, limit] : paths)
    if (!within(*path, *limit))
      throw Error(ErrorKind::configuration, cat("the run ", run.run_id, " is for ", to_text(there), ", but ",
                                                member.name, " may spend on ", to_text(allowed), " alone"));
}

}  // namespace sotto::accountants
