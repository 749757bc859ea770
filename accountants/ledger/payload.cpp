#include "accountants/ledger/payload.h"

#include <cmath>
#include <ctime>

#include "base/error.h"
#include "base/fault_point.h"
#include "base/hash.h"

namespace sotto::accountants {
namespace {

using nlohmann::json;

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

const json& field(const json& payload, const char* key) {
  const auto found = payload.find(key);
  if (found == payload.end()) throw Error(ErrorKind::data, cat("a ledger row lacks \"", key, "\""));
  return *found;
}

std::string dump(const json& payload) {
  try {
    return payload.dump();
  } catch (const json::exception&) {
    throw Error(ErrorKind::invalid_argument, "a text for the ledger is not UTF-8; use UTF-8 names");
  }
}

}  // namespace

std::string row_hash(const std::string& payload) {
  return to_hex(sha256(payload));
}

LedgerRow append_row(Database& database, const std::string& kind, json fields) {
  const Head last = last_row(database);
  fields["id"] = last.id + 1;
  fields["previous"] = last.hash;
  fields["kind"] = kind;
  fields["at"] = now_utc();
  LedgerRow row{last.id + 1, kind, dump(fields), ""};
  row.hash = row_hash(row.payload);
  fault_point("ledger.before_insert");
  database.query("INSERT INTO entry (id, payload, hash) VALUES (?, ?, ?)")
      .bind(row.id)
      .bind(row.payload)
      .bind(row.hash)
      .step();
  return row;
}

Head last_row(Database& database) {
  Query query = database.query("SELECT id, hash FROM entry ORDER BY id DESC LIMIT 1");
  return query.step() ? Head{query.integer(0), query.text(1)} : Head{0, ""};
}

json find_row(Database& database, const std::string& kind, const std::string& run_id) {
  Query query = database.query("SELECT payload FROM entry WHERE run_id = ? AND kind = ?");
  query.bind(run_id).bind(kind);
  return query.step() ? json::parse(query.text(0)) : json();
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
}

json to_fields(const RunEntry& entry) {
  return json{{"run_id", entry.run_id},
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
                  .event = event_from_json(field(payload, "event").dump()),
                  .epsilon_cap = number_field(payload, "epsilon_cap"),
                  .delta = number_field(payload, "delta"),
                  .planned_steps = int64_field(payload, "planned_steps")};
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

double epsilon_of(const RunEntry& entry, int64_t steps) {
  const auto accountant = make_accountant(entry.accountant, entry.relation);
  accountant->compose(entry.event, steps);
  return accountant->epsilon(entry.delta);
}

}  // namespace sotto::accountants
