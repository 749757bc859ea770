#pragma once
#include <cstdint>
#include <optional>

#include "accountants/accountant.h"

namespace sotto::accountants {

// What a group of `size` units loses together, when data sets differ in all of them.

// The same event for the group, where that is again an event: a group moves a noisy sum by at most `size` times what
// one unit does, so its noise counts for so much less (exact for plain Gaussians, where μ grows by `size`). Pure ε
// grows by `size`. Nothing for other events. Throws invalid_argument unless size ≥ 1.
std::optional<Event> group_event(const Event& event, int64_t size);

// For any accountant, along a chain of neighbours (Dwork and Roth 2014, Theorem 2.2 and the sum in its proof):
//
//   (ε, δ)-DP for one is ( size · ε, δ (e^{size ε} − 1) / (e^ε − 1) )-DP for the group
//
// the least size · ε found whose δ is at most delta, rounded up; +infinity where none is below 10^5. Much looser than
// composing group_event()s. Throws invalid_argument unless size ≥ 1 and 0 < delta < 1.
double group_epsilon(const Accountant& accountant, int64_t size, double delta);

}  // namespace sotto::accountants
