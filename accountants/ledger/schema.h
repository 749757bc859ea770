#pragma once
#include <filesystem>
#include <string>

#include "accountants/ledger/backend.h"
#include "accountants/ledger/database.h"

namespace sotto::accountants {

constexpr int64_t kLedgerApplicationId = 0x736f7474;  // "sott" in the SQLite header

// Makes a ledger of the rows that `fill` appends beside `path` and links it into place, so that the path holds a whole
// ledger or nothing. False when a file is there: another process may have been first.
bool create_ledger(const std::filesystem::path& path, const std::function<void(LedgerBackend&)>& fill);

// Throws data unless the file says that it is a ledger of a format this program knows.
void check_identity(Database& database);

// Brings a ledger of an older format to kLedgerFormat in one transaction: what the older one has stays as it is, to the
// byte; new tables are added, and a row says so. Does nothing to a ledger of kLedgerFormat.
void migrate(Database& database);

// What differs from the tables, indexes and append-only triggers of the file's format; empty when nothing does.
std::string schema_difference(Database& database);

}  // namespace sotto::accountants
