#include "accountants/ledger/epsilon_by_steps.h"

#include <cmath>

#include "accountants/ledger/payload.h"

namespace sotto::accountants {
namespace {

constexpr int64_t kLongest = 4096;
constexpr int64_t kShortest = 8;  // below, three evaluations gain nothing
constexpr double kStraight = 1e-12;
constexpr size_t kMostKnown = 10'000;
constexpr int64_t kMostSteps = int64_t{1} << 52;  // an accountant takes twice as many

}  // namespace

double EpsilonBySteps::exact(int64_t steps) {
  const auto [found, fresh] = known_.try_emplace(steps, 0.0);
  if (fresh) found->second = epsilon_of(entry_, steps);
  const double value = found->second;
  if (known_.size() > kMostKnown) known_.erase(known_.begin());  // the early steps are behind us
  return value;
}

double EpsilonBySteps::at(int64_t steps) {
  if (steps >= piece_.first && steps <= piece_.last)
    return piece_.start + piece_.slope * static_cast<double>(steps - piece_.first);
  if (entry_.accountant != "rdp" || steps < 1 || steps > kMostSteps) return exact(steps);
  for (int64_t length = kLongest; length >= kShortest; length /= 2) {
    const int64_t middle = steps + length / 2, end = steps + length;
    const double low = exact(steps), between = exact(middle), high = exact(end);
    if (!std::isfinite(high) || low <= 0) break;
    const double slope = (high - low) / static_cast<double>(length);
    const double chord = low + slope * static_cast<double>(middle - steps);
    if (std::abs(between - chord) > kStraight * between) continue;
    piece_ = {steps, end, low, slope};
    return low;
  }
  return exact(steps);
}

}  // namespace sotto::accountants
