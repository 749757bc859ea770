#include "accountants/ledger/claim_sums.h"

#include <algorithm>
#include <cmath>

#include "accountants/rdp/conversion.h"

namespace sotto::accountants {
namespace {

constexpr double kRounding = 2.3e-16;     // a little more than twice the unit roundoff, for a product and a sum
constexpr double kMostRounded = 0.5e-10;  // of a sum, before it is made anew

}  // namespace

void FilterSum::move(const RdpCurve& step, int64_t steps, double sign) {
  if (steps == 0) return;  // 0 · ∞ is nothing here
  for (size_t i = 0; i < total_.size(); ++i) {
    const double term = static_cast<double>(steps) * step[i];
    rounded_[i] += kRounding * (std::abs(total_[i]) + term);
    total_[i] += sign * term;
    // ∞ − ∞ says nothing of what is left.
    if (sign < 0 && !(rounded_[i] <= kMostRounded * total_[i])) stale_ = true;
  }
}

double FilterSum::epsilon(const std::vector<double>& orders, double delta) const {
  RdpCurve raised = total_;
  for (size_t i = 0; i < raised.size(); ++i) raised[i] = (raised[i] + rounded_[i]) * (1 + 2 * kRounding);
  return filter_epsilon(orders, raised, delta);
}

void ClaimSums::add(const Claim& run) {
  Claim& kept = runs_.emplace_back(run);
  by_id_.emplace(kept.entry->run_id, &kept);
  open_runs_ += !kept.closed_at;
  if (const auto found = data_sets_.find(kept.entry->data_set); found != data_sets_.end()) found->second.add(kept);
  for (auto& [row, each] : grants_)
    if (kept.counts(each.grant, each.period_start)) each.sum.add(kept);
}

void ClaimSums::close(std::string_view run_id, int64_t charged, int64_t at) {
  const auto known = by_id_.find(run_id);
  if (known == by_id_.end() || known->second->closed_at) return;
  Claim& run = *known->second;
  const Claim open = run;
  run.charged = charged;
  run.closed_at = at;
  --open_runs_;
  const auto replace = [&](FilterSum& sum, bool counts) {
    sum.take_away(open);
    if (counts) sum.add(run);
  };
  if (const auto found = data_sets_.find(run.entry->data_set); found != data_sets_.end()) replace(found->second, true);
  for (auto& [row, each] : grants_)
    if (open.counts(each.grant, each.period_start)) replace(each.sum, run.counts(each.grant, each.period_start));
}

FilterSum ClaimSums::all_on(const std::string& data_set) const {
  FilterSum sum(orders_.size());
  for (const Claim& run : runs_)
    if (run.entry->data_set == data_set) sum.add(run);
  return sum;
}

FilterSum ClaimSums::all_of(const Grant& grant, int64_t now) const {
  FilterSum sum(orders_.size());
  for (const Claim& run : runs_)
    if (run.counts(grant, now)) sum.add(run);
  return sum;
}

double ClaimSums::claimed(const std::string& data_set, double delta, const Claim& added) {
  auto found = data_sets_.find(data_set);
  if (found == data_sets_.end()) found = data_sets_.emplace(data_set, all_on(data_set)).first;
  if (found->second.stale()) found->second = all_on(data_set);
  FilterSum sum = found->second;
  if (added.entry->data_set == data_set) sum.add(added);
  return sum.epsilon(orders_, delta);
}

double ClaimSums::claimed(const Grant& grant, int64_t now, const Claim& added) {
  const int64_t period_start = grant.period_start(now);
  auto found = grants_.find(grant.row_id);
  if (found == grants_.end() || found->second.sum.stale() || found->second.period_start != period_start)
    found = grants_.insert_or_assign(grant.row_id, GrantSum{grant, period_start, all_of(grant, now)}).first;
  FilterSum sum = found->second.sum;
  if (added.counts(grant, now)) sum.add(added);
  return sum.epsilon(orders_, grant.delta);
}

double ClaimSums::claimed(const Grant& grant, int64_t now) const {
  const bool any =
      std::ranges::any_of(runs_, [&](const Claim& run) { return run.steps() > 0 && run.counts(grant, now); });
  return any ? all_of(grant, now).epsilon(orders_, grant.delta) : 0;
}

}  // namespace sotto::accountants
