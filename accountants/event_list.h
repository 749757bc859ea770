#pragma once
#include <cstdint>
#include <vector>

#include "accountants/event.h"

namespace sotto::accountants {

class Accountant;

struct EventUses {
  Event event;
  int64_t count;
  bool operator==(const EventUses&) const = default;
};

// A composition. What it costs does not depend on the order.
using EventList = std::vector<EventUses>;

void compose(Accountant& accountant, const EventList& events);
bool supports(const Accountant& accountant, const EventList& events);

}  // namespace sotto::accountants
