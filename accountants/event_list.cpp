#include "accountants/event_list.h"

#include <algorithm>

#include "accountants/accountant.h"

namespace sotto::accountants {

void compose(Accountant& accountant, const EventList& events) {
  for (const EventUses& each : events) accountant.compose(each.event, each.count);
}

bool supports(const Accountant& accountant, const EventList& events) {
  return std::ranges::all_of(
      events, [&](const EventUses& each) { return accountant.supports(each.event, accountant.relation()); });
}

}  // namespace sotto::accountants
