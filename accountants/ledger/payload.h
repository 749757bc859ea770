#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "accountants/ledger.h"
#include "accountants/ledger/scope.h"

namespace sotto::accountants {

// A row's payload is canonical JSON (sorted keys, no blanks) and holds its own number and the hash of the row before;
// the row's hash is SHA-256 of the payload, in hexadecimal. So one hash stands for all history up to it.
std::string row_hash(const std::string& payload);

// The payload as an object. Throws data, naming the row, when it is none or does not match its hash.
nlohmann::json parsed(const LedgerRow& row);

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

// The proof in a reservation's payload, where there is one.
nlohmann::json to_fields(const RefusedSteps& refused);
std::optional<RefusedSteps> refused_steps(const nlohmann::json& payload);

// What is set aside for the entry: as much as it may have, or the steps that its row says.
RunAllotment allotment_of(const RunEntry& entry);
RunAllotment allotment_of(const RunEntry& entry, int64_t reserved_steps);

// The ε of that many steps of the entry's event, by its accountant at its delta, for one in accountant_names().
double epsilon_of(const RunEntry& entry, int64_t steps);

}  // namespace sotto::accountants
