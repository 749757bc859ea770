#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "accountants/ledger.h"
#include "accountants/ledger/database.h"
#include "accountants/ledger/scope.h"

namespace sotto::accountants {

// A row's payload is canonical JSON (sorted keys, no blanks) and holds its own number and the hash of the row before;
// the row's hash is SHA-256 of the payload, in hexadecimal. So one hash stands for all history up to it.
std::string row_hash(const std::string& payload);

// The payload of the row of that kind which closes or opens a run, or a null JSON.
nlohmann::json find_row(Database& database, const std::string& kind, const std::string& run_id);

// Throws invalid_argument when a field is empty, not finite or out of range.
void validate(const RunEntry& entry);

Scope scope_of(const RunEntry& entry);

nlohmann::json to_fields(const RunEntry& entry);
// Reads what to_fields() wrote; other keys are ignored. Throws data, naming the key, when one is missing or of a wrong
// type.
RunEntry run_entry(const nlohmann::json& payload);

int64_t int64_field(const nlohmann::json& payload, const char* key);
double number_field(const nlohmann::json& payload, const char* key);
std::string text_field(const nlohmann::json& payload, const char* key);
std::string optional_text(const nlohmann::json& payload, const char* key);  // empty where the key is missing

// The ε of that many steps of the entry's event, by its accountant at its delta.
double epsilon_of(const RunEntry& entry, int64_t steps);

}  // namespace sotto::accountants
