#include "accountants/pld/running_check.h"

#include <algorithm>
#include <cmath>

#include "accountants/event/parts.h"
#include "accountants/pld/event_law.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

// What the schedule's parts consist of; empty where a part has no law, such as one that is not private.
std::vector<RunningSum::Kind> kinds_of(const FixedSchedule& schedule) {
  std::vector<RunningSum::Kind> kinds;
  for (const EventUses& part : schedule.parts()) {
    kinds.push_back({{}, static_cast<double>(part.count)});
    for (const EventUses& each : parts_of(part.event, 1, schedule.relation())) {
      const auto* sampled = std::get_if<PoissonSampledGaussian>(&each.event.mechanism);
      if (sampled && sampled->sample_rate == 0) continue;  // nothing
      auto [law, times] = uses_of_law(each.event, schedule.relation());
      if (!law) return {};
      if (each.count > 0) kinds.back().uses.push_back({std::move(law), each.count * times});
    }
  }
  return kinds;
}

}  // namespace

RunningCheck::RunningCheck(const FixedSchedule& schedule, double epsilon, double delta, PldLimits limits)
    : schedule_(schedule), epsilon_(epsilon), delta_(delta), limits_(limits) {
  require(epsilon >= 0 && std::isfinite(epsilon), "epsilon must be finite and at least 0, got ", epsilon);
  require(delta > 0 && delta < 1, "delta must be above 0 and below 1, got ", delta);
  PldAccountant accountant(schedule.relation());
  for (const EventUses& part : schedule.parts()) {
    accountant.compose(part.event);  // throws for what it does not know
    taken_.push_back({part.event, 0});
  }
  const auto kinds = kinds_of(schedule);
  if (std::any_of(kinds.begin(), kinds.end(), [](const auto& kind) { return kind.most > 0 && !kind.uses.empty(); }))
    for (const Direction direction : {Direction::remove, Direction::add})
      sums_.emplace_back(kinds, direction, epsilon, delta, limits_);
}

bool RunningCheck::take(size_t part, int64_t count) {
  require(part < taken_.size(), "the schedule has ", taken_.size(), " parts; there is no part ", part);
  int64_t& taken = taken_[part].count;
  const int64_t planned = schedule_.parts()[part].count;
  require(count >= 1 && count <= planned - taken, "the schedule has ", planned, " uses of part ", part, ", ", taken,
          " are taken; cannot take ", count, " more");
  taken += count;
  for (RunningSum& sum : sums_) sum.take(part, count);
  if (!holds_) return false;
  const bool proved =
      !sums_.empty() && std::ranges::all_of(sums_, [&](const auto& sum) { return sum.delta_above() <= delta_; });
  const auto passes = [&](const RunningSum& sum) { return sum.delta_below() > delta_; };
  holds_ = proved || (!std::ranges::any_of(sums_, passes) && full_bracket_holds());
  return holds_;
}

Bracket RunningCheck::delta() const {
  if (sums_.empty()) return {0, 1};
  return {std::max(sums_.front().delta_below(), sums_.back().delta_below()),
          std::max(sums_.front().delta_above(), sums_.back().delta_above())};
}

bool RunningCheck::full_bracket_holds() {
  ++full_brackets_;
  Bracket found{0, INFINITY};
  for (const double gap : kNarrowingGaps) {
    PldLimits limits = limits_;
    limits.relative_gap = gap;
    PldAccountant accountant(schedule_.relation(), limits);
    for (const EventUses& each : taken_) accountant.compose(each.event, each.count);
    found = accountant.epsilon_bracket(delta_);
    if (found.upper <= epsilon_) return true;
    if (found.lower > epsilon_) return false;
  }
  return false;
}

}  // namespace sotto::accountants
