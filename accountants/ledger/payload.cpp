#include "accountants/ledger/payload.h"

#include <cmath>

#include "base/error.h"
#include "base/hash.h"

namespace sotto::accountants {
namespace {

using nlohmann::json;

const json& field(const json& payload, const char* key) {
  const auto found = payload.find(key);
  if (found == payload.end()) throw Error(ErrorKind::data, cat("a ledger row lacks \"", key, "\""));
  return *found;
}

Event event_of(const json& payload) {
  try {
    return event_from_json(field(payload, "event").dump());
  } catch (const Error& error) {
    throw Error(ErrorKind::data, cat("the event of the run ", text_field(payload, "run_id"),
                                     " is not known to this sotto: ", error.what(), "; use the one that wrote it"));
  }
}

}  // namespace

std::string row_hash(const std::string& payload) {
  return to_hex(sha256(payload));
}

json parsed(const LedgerRow& row) {
  if (row_hash(row.payload) != row.hash)
    throw Error(ErrorKind::data, cat("the ledger was altered: row ", row.id,
                                     " does not match its hash; run `sotto ledger verify` and restore a backup"));
  json payload = json::parse(row.payload, nullptr, false);
  if (!payload.is_object()) throw Error(ErrorKind::data, cat("row ", row.id, " of the ledger is not canonical JSON"));
  return payload;
}

void validate(const RunEntry& entry) {
  const std::pair<const char*, const std::string*> texts[] = {{"run_id", &entry.run_id},
                                                              {"who", &entry.who},
                                                              {"data_set", &entry.data_set},
                                                              {"data_hash", &entry.data_hash},
                                                              {"unit_of_privacy", &entry.unit_of_privacy},
                                                              {"privacy_hash", &entry.privacy_hash}};
  for (const auto& [name, text] : texts) require(!text->empty(), "a reservation needs a ", name, "; it is empty");
  require(std::isfinite(entry.epsilon_cap) && entry.epsilon_cap > 0, "epsilon_cap must be finite and above 0, got ",
          entry.epsilon_cap);
  require(entry.delta > 0 && entry.delta < 1, "delta must be above 0 and below 1, got ", entry.delta);
  require(entry.planned_steps >= 1, "planned_steps must be at least 1, got ", entry.planned_steps);
  Scope said = scope_of(entry);
  said.data_set.clear();  // a name, which may have come from anywhere
  validate(said);
}

Scope scope_of(const RunEntry& entry) {
  return {entry.organisation, entry.data_set, entry.purpose, entry.team, entry.group};
}

json to_fields(const RunEntry& entry) {
  json fields{{"run_id", entry.run_id},
              {"who", entry.who},
              {"data_set", entry.data_set},
              {"data_hash", entry.data_hash},
              {"unit_of_privacy", entry.unit_of_privacy},
              {"relation", to_string(entry.relation)},
              {"accountant", entry.accountant},
              {"privacy_hash", entry.privacy_hash},
              {"event", json::parse(to_json(entry.event))},
              {"epsilon_cap", entry.epsilon_cap},
              {"delta", entry.delta},
              {"planned_steps", entry.planned_steps}};
  json said = to_fields(scope_of(entry));
  said.erase("data_set");
  fields.update(said);
  return fields;
}

RunEntry run_entry(const json& payload) {
  return RunEntry{.run_id = text_field(payload, "run_id"),
                  .who = text_field(payload, "who"),
                  .data_set = text_field(payload, "data_set"),
                  .data_hash = text_field(payload, "data_hash"),
                  .unit_of_privacy = text_field(payload, "unit_of_privacy"),
                  .relation = relation_from_string(text_field(payload, "relation")),
                  .accountant = text_field(payload, "accountant"),
                  .privacy_hash = text_field(payload, "privacy_hash"),
                  .event = event_of(payload),
                  .epsilon_cap = number_field(payload, "epsilon_cap"),
                  .delta = number_field(payload, "delta"),
                  .planned_steps = int64_field(payload, "planned_steps"),
                  .organisation = optional_text(payload, "organisation"),
                  .purpose = optional_text(payload, "purpose"),
                  .team = optional_text(payload, "team"),
                  .group = optional_text(payload, "group")};
}

int64_t int64_field(const json& payload, const char* key) {
  const json& value = field(payload, key);
  if (!value.is_number_integer())
    throw Error(ErrorKind::data, cat("a ledger row's \"", key, "\" is no integer: ", value.dump()));
  return value.get<int64_t>();
}

double number_field(const json& payload, const char* key) {
  const json& value = field(payload, key);
  if (!value.is_number())
    throw Error(ErrorKind::data, cat("a ledger row's \"", key, "\" is no number: ", value.dump()));
  return value.get<double>();
}

std::string text_field(const json& payload, const char* key) {
  const json& value = field(payload, key);
  if (!value.is_string()) throw Error(ErrorKind::data, cat("a ledger row's \"", key, "\" is no text: ", value.dump()));
  return value.get<std::string>();
}

std::string optional_text(const json& payload, const char* key) {
  return payload.contains(key) ? text_field(payload, key) : "";
}

json to_fields(const RefusedSteps& refused) {
  return {{"steps", refused.steps}, {"epsilon_lower", refused.epsilon_lower}};
}

std::optional<RefusedSteps> refused_steps(const json& payload) {
  const auto found = payload.find("refused");
  if (found == payload.end()) return std::nullopt;
  if (!found->is_object()) throw Error(ErrorKind::data, "a ledger row's \"refused\" is no object");
  return RefusedSteps{int64_field(*found, "steps"), number_field(*found, "epsilon_lower")};
}

namespace {

FixedSchedule schedule_of(const RunEntry& entry) {
  return FixedSchedule(entry.relation, {{entry.event, entry.planned_steps}});
}

Allowance allowance_of(const RunEntry& entry) {
  return {entry.epsilon_cap, entry.delta, entry.accountant};
}

}  // namespace

RunAllotment allotment_of(const RunEntry& entry) {
  return RunAllotment(schedule_of(entry), allowance_of(entry));
}

RunAllotment allotment_of(const RunEntry& entry, int64_t reserved_steps) {
  return RunAllotment(schedule_of(entry), allowance_of(entry), reserved_steps);
}

double epsilon_of(const RunEntry& entry, int64_t steps) {
  const auto accountant = make_accountant(entry.accountant, entry.relation);
  accountant->compose(entry.event, steps);
  return accountant->epsilon(entry.delta);
}

}  // namespace sotto::accountants
