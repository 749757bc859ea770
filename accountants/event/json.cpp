#include "accountants/event/fields.h"
#include "accountants/event/strict_json.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

using nlohmann::json;

constexpr size_t kShown = 200;                      // of a wrong text, in messages
constexpr int kDeepestJson = 2 * Nested::kDeepest;  // an event a level, and the list it may be in

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::data, message);
}

json write(const Event& event);

template <class Value>
json write_value(const Value& value) {
  return value;
}
json write_value(const Nested& event) {
  return write(*event);
}
json write_value(const std::vector<Nested>& events) {
  json list = json::array();
  for (const Nested& event : events) list.push_back(write(*event));
  return list;
}

json write(const Event& event) {
  return std::visit(
      []<class Mechanism>(const Mechanism& mechanism) {
        json object{{"mechanism", Description<Mechanism>::name}};
        for_each_field(mechanism,
                       [&](const auto& field, const auto& value) { object[field.key] = write_value(value); });
        return object;
      },
      event.mechanism);
}

Event read(json& object);

double read_number(const std::string& key, const json& value) {
  if (!value.is_number()) refuse(cat("event has a \"", key, "\" that is no number: ", value.dump().substr(0, kShown)));
  return value.get<double>();
}

template <class Value>
Value read_value(const std::string& key, json& value) {
  const auto expect = [&](bool ok, const char* what) {
    if (!ok) refuse(cat("event has a \"", key, "\" that is no ", what, ": ", value.dump().substr(0, kShown)));
  };
  if constexpr (std::is_same_v<Value, double>) {
    return read_number(key, value);
  } else if constexpr (std::is_same_v<Value, int64_t>) {
    expect(value.is_number_integer() && (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX),
           "whole number");
    return value.get<int64_t>();
  } else if constexpr (std::is_same_v<Value, bool>) {
    expect(value.is_boolean(), "true or false");
    return value.get<bool>();
  } else if constexpr (std::is_same_v<Value, std::string>) {
    expect(value.is_string(), "text");
    return value.get<std::string>();
  } else if constexpr (std::is_same_v<Value, Nested>) {
    return read(value);
  } else {
    expect(value.is_array(), "list");
    Value list;
    for (json& each : value) list.push_back(read_value<typename Value::value_type>(key, each));
    return list;
  }
}

template <class Mechanism, class Value>
Value take(json& object, const Field<Mechanism, Value>& field) {
  const auto found = object.find(field.key);
  if (found == object.end()) refuse(cat("event lacks \"", field.key, "\": ", object.dump().substr(0, kShown)));
  json value = std::move(*found);
  object.erase(found);
  return read_value<Value>(field.key, value);
}

template <class Mechanism>
bool read_as(const std::string& name, json& object, Event& event) {
  if (name != Description<Mechanism>::name) return false;
  // Braces take the fields in order.
  event.mechanism = std::apply([&](const auto&... field) { return Mechanism{take(object, field)...}; },
                               Description<Mechanism>::fields);
  return true;
}

template <class... Mechanisms>
void read_any(const std::string& name, json& object, Event& event, const std::variant<Mechanisms...>*) {
  if ((read_as<Mechanisms>(name, object, event) || ...)) return;
  std::string known;
  ((known += cat(known.empty() ? "" : ", ", Description<Mechanisms>::name)), ...);
  refuse(cat("unknown mechanism \"", name.substr(0, kShown), "\"; known: ", known));
}

Event read(json& object) {
  if (!object.is_object() || !object.contains("mechanism") || !object["mechanism"].is_string())
    refuse(cat("not an event: ", object.dump().substr(0, kShown)));
  const std::string name = object["mechanism"].get<std::string>();
  object.erase("mechanism");
  Event event;
  read_any(name, object, event, &event.mechanism);
  if (!object.empty()) refuse(cat("event has keys that ", name, " lacks: ", object.dump().substr(0, kShown)));
  return event;
}

}  // namespace

std::string to_json(const Event& event) {
  validate(event);
  return write(event).dump();
}

Event event_from_json(std::string_view text) {
  json object = parse_strictly(text, kDeepestJson);
  if (object.is_discarded()) refuse(cat("not an event: ", text.substr(0, kShown)));
  try {
    Event event = read(object);
    validate(event);
    return event;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::data) throw;
    refuse(cat("event ", text.substr(0, kShown), ": ", error.what()));
  }
}

}  // namespace sotto::accountants
