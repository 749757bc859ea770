#include "accountants/run_allotment.h"

#include <algorithm>
#include <cmath>

#include "accountants/accountant.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kRungGap = 5e-3;
// Another build's exp and log may round differently.
constexpr double kTolerance = 1e-9;

// 1, 2, …, 8, 10, 12, 14, 16, 20, …: four an octave.
int64_t next_rung(int64_t rung) {
  int64_t width = 1;
  while (8 * width <= rung) width *= 2;
  return rung + width;
}

}  // namespace

std::vector<std::string> run_accountant_names() {
  auto names = accountant_names();
  names.push_back("pld");
  return names;
}

RunAllotment::RunAllotment(const FixedSchedule& plan, Allowance allowance, int64_t steps)
    : plan_(plan), allowance_(std::move(allowance)), steps_(steps) {
  const auto known = run_accountant_names();
  if (std::find(known.begin(), known.end(), allowance_.accountant) == known.end())
    throw Error(ErrorKind::configuration, cat("no run can be limited by the accountant \"", allowance_.accountant,
                                              "\"; known: rdp, zcdp, gdp, and pld for a run whose steps are fixed"));
  require(steps >= 0 && steps <= plan.steps(), "cannot set aside ", steps, " of ", plan.steps(), " steps");
}

RunAllotment::RunAllotment(const FixedSchedule& plan, Allowance allowance) : RunAllotment(plan, allowance, 0) {
  if (!exact_at_each_step()) {
    const StepsThatFit found = steps_that_fit(plan, allowance_.epsilon, allowance_.delta, allowance_.accountant);
    steps_ = found.steps;
    while (steps_ > 0 && narrowed(steps_) > allowance_.epsilon) --steps_;
    if (found.too_many > 0) refused_ = {found.too_many, found.epsilon_of_too_many.lower};
    return;
  }
  if (epsilon(plan.steps()) <= allowance_.epsilon) {
    steps_ = plan.steps();
    return;
  }
  for (int64_t too_many = plan.steps(); too_many - steps_ > 1;) {  // ε grows with steps
    const int64_t middle = steps_ + (too_many - steps_) / 2;
    (epsilon(middle) <= allowance_.epsilon ? steps_ : too_many) = middle;
  }
}

Bracket RunAllotment::bracket(int64_t steps, double relative_gap) const {
  return plan_.first(steps).epsilon(allowance_.delta, {allowance_.accountant, relative_gap});
}

// The first bracket's end that is within the allowance, or the least of all.
double RunAllotment::narrowed(int64_t steps) const {
  double least = INFINITY;
  for (const double gap : kNarrowingGaps) {
    least = std::min(least, bracket(steps, gap).upper);
    if (least <= allowance_.epsilon) break;
  }
  return least;
}

// What more steps are known to cost bounds what fewer do: so brackets that are wider than a rung is high do not show.
void RunAllotment::climb() const {
  for (int64_t rung = 1; rung < steps_; rung = next_rung(rung))
    rungs_.emplace_back(rung, bracket(rung, kRungGap).upper);
  rungs_.emplace_back(steps_, narrowed(steps_));
  for (size_t i = rungs_.size() - 1; i-- > 0;) rungs_[i].second = std::min(rungs_[i].second, rungs_[i + 1].second);
}

const RunAllotment::Rung& RunAllotment::rung_at(int64_t steps) const {
  if (rungs_.empty()) climb();
  return *std::ranges::lower_bound(rungs_, steps, {}, &Rung::first);
}

double RunAllotment::epsilon(int64_t steps) const {
  require(steps >= 0 && steps <= plan_.steps(), "the plan has ", plan_.steps(), " steps; cannot take its first ",
          steps);
  if (steps == 0) return 0;
  if (exact_at_each_step() || steps > steps_) return bracket(steps, kNarrowingGaps[0]).upper;
  return rung_at(steps).second;
}

bool RunAllotment::may_be(int64_t steps, double said) const {
  const double found = epsilon(steps);
  if (std::abs(said - found) <= kTolerance * found) return true;
  if (exact_at_each_step() || steps < 1 || steps > steps_ || !(said <= found * (1 + 2 * kRungGap))) return false;
  return said >= bracket(rung_at(steps).first, 1e-5).lower * (1 - kTolerance);
}

bool RunAllotment::proves(const RefusedSteps& refused) const {
  if (exact_at_each_step() || refused.steps <= steps_ || refused.steps > plan_.steps() ||
      !(refused.epsilon_lower > allowance_.epsilon))
    return false;
  for (const double gap : kNarrowingGaps) {
    const Bracket found = bracket(refused.steps, gap);
    if (refused.epsilon_lower > found.upper) return false;
    if (found.lower > allowance_.epsilon * (1 - kTolerance)) return true;
  }
  return false;
}

}  // namespace sotto::accountants
