#include "accountants/event_list.h"

#include <algorithm>

#include "accountants/accountant.h"
#include "accountants/dp_event.h"
#include "accountants/event/strict_json.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

using nlohmann::json;

constexpr int kDeepestJson = 64;  // above what events may have; deeper texts are not even kept
constexpr size_t kShown = 200;

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::data, message);
}

std::string shown(const json& value) {
  return value.dump().substr(0, kShown);
}

json parse(std::string_view text) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) refuse("the text is empty; expected JSON");
  json value = parse_strictly(text, kDeepestJson);
  if (value.is_discarded()) refuse(cat("not JSON: ", text.substr(0, kShown)));
  return value;
}

Event read_event(const json& value) {
  if (value.is_object() && value.contains("class_name")) return event_from_dp_event(value);
  return event_from_json(value.dump());
}

EventUses read_uses(const json& value) {
  if (!value.is_object() || !value.contains("event") || value.contains("mechanism") || value.contains("class_name"))
    return {read_event(value), 1};
  for (const auto& [key, _] : value.items())
    if (key != "event" && key != "count") refuse(cat("unknown key \"", key, "\"; known: event, count"));
  if (!value.contains("count")) refuse("\"count\" is missing");
  const json& count = value["count"];
  if (!count.is_number_integer() || count < 0 || count > int64_t{1} << 53)
    refuse(cat("\"count\" must be a whole number from 0 to 2^53, got ", shown(count)));
  return {read_event(value["event"]), count.get<int64_t>()};
}

// The items of a list, with the number of the one that is wrong.
template <class Read>
EventList read_items(const json& list, const Read& read) {
  if (list.empty()) refuse("the list is empty: nothing is composed");
  EventList events;
  for (size_t i = 0; i < list.size(); ++i) try {
      events.push_back(read(list[i]));
      validate(events.back().event);
    } catch (const Error& error) {
      refuse(cat("item ", i + 1, " of ", list.size(), ": ", error.what()));
    }
  return events;
}

EventUses read_opacus(const json& item) {
  if (!item.is_array() || item.size() != 3 || !item[0].is_number() || !item[1].is_number() ||
      !item[2].is_number_integer() || item[2] < 0 || item[2] > int64_t{1} << 53)
    refuse(cat("expected [noise_multiplier, sample_rate, steps] with a whole number of steps from 0 to 2^53, got ",
               shown(item)));
  return {{PoissonSampledGaussian{item[0].get<double>(), item[1].get<double>()}}, item[2].get<int64_t>()};
}

}  // namespace

void compose(Accountant& accountant, const EventList& events) {
  for (const EventUses& each : events) accountant.compose(each.event, each.count);
}

bool supports(const Accountant& accountant, const EventList& events) {
  return std::ranges::all_of(events, [&](const EventUses& each) { return accountant.supports(each.event); });
}

EventList event_list_from_json(std::string_view text) {
  const json value = parse(text);
  if (value.is_array()) return read_items(value, read_uses);
  EventList events{read_uses(value)};
  validate(events.front().event);
  return events;
}

std::string to_json(const EventList& events) {
  json list = json::array();
  for (const EventUses& each : events)
    list.push_back({{"event", json::parse(to_json(each.event))}, {"count", each.count}});
  return list.dump();
}

EventList opacus_history_from_json(std::string_view text) {
  json value = parse(text);
  if (value.is_object() && value.contains("history")) value = json(value["history"]);
  if (!value.is_array()) refuse(cat("expected a list of [noise_multiplier, sample_rate, steps], got ", shown(value)));
  return read_items(value, read_opacus);
}

}  // namespace sotto::accountants
