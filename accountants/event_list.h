#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "accountants/event/parts.h"

namespace sotto::accountants {

class Accountant;

// A composition. What it costs does not depend on the order.
using EventList = std::vector<EventUses>;

void compose(Accountant& accountant, const EventList& events);
bool supports(const Accountant& accountant, const EventList& events);

// An event, or a list whose items are events or {"event": …, "count": n}. An event is one of ours ({"mechanism": …}) or
// of dp-accounting ({"class_name": "GaussianDpEvent", …}, accountants/dp_event.h). Throws data, saying which item, on
// anything else; an empty list is refused, too.
EventList event_list_from_json(std::string_view text);
std::string to_json(const EventList& events);

// What Opacus keeps in an accountant's `history`: a list of [noise_multiplier, sample_rate, steps], or an object with
// one. Opacus reads them as Poisson-sampled Gaussians, so the batches must have been drawn so. Throws data.
EventList opacus_history_from_json(std::string_view text);

}  // namespace sotto::accountants
