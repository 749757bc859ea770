#include "accountants/ledger/schema.h"

#include <ctime>

#include "accountants/ledger/append.h"
#include "accountants/ledger/new_file.h"
#include "accountants/ledger/sqlite_backend.h"
#include "base/error.h"
#include "base/fault_point.h"

namespace sotto::accountants {
namespace {

struct Object {
  const char *name, *sql;
  int64_t since = 1;  // the first format that has it
};

// Columns beside the payload are computed from it, so that there is nothing to disagree with it. The insert trigger
// also stops INSERT OR REPLACE, which would delete without firing the delete trigger.
constexpr Object kSchema[] = {
    {"entry", R"(CREATE TABLE entry (
  id INTEGER PRIMARY KEY,
  payload TEXT NOT NULL,
  hash TEXT NOT NULL,
  kind TEXT GENERATED ALWAYS AS (json_extract(payload, '$.kind')) VIRTUAL,
  run_id TEXT GENERATED ALWAYS AS (json_extract(payload, '$.run_id')) VIRTUAL,
  first_step INTEGER GENERATED ALWAYS AS (json_extract(payload, '$.first_step')) VIRTUAL,
  last_step INTEGER GENERATED ALWAYS AS (json_extract(payload, '$.last_step')) VIRTUAL
) STRICT)"},
    {"one_reservation", "CREATE UNIQUE INDEX one_reservation ON entry (run_id) WHERE kind = 'reserve'"},
    {"one_release", "CREATE UNIQUE INDEX one_release ON entry (run_id) WHERE kind = 'release'"},
    {"one_charge_a_step", "CREATE UNIQUE INDEX one_charge_a_step ON entry (run_id, first_step) WHERE kind = 'charge'"},
    {"by_run", "CREATE INDEX by_run ON entry (run_id, kind, last_step)"},
    {"by_kind", "CREATE INDEX by_kind ON entry (kind) WHERE kind IN ('genesis', 'cap', 'reserve')"},
    {"no_update", R"(CREATE TRIGGER no_update BEFORE UPDATE ON entry
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END)"},
    {"no_delete", R"(CREATE TRIGGER no_delete BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END)"},
    {"in_order", R"(CREATE TRIGGER in_order BEFORE INSERT ON entry
WHEN NEW.id IS NOT (SELECT coalesce(max(id), 0) + 1 FROM entry)
  OR json_extract(NEW.payload, '$.id') IS NOT NEW.id
  OR json_extract(NEW.payload, '$.previous') IS NOT coalesce((SELECT hash FROM entry ORDER BY id DESC LIMIT 1), '')
BEGIN SELECT RAISE(ABORT, 'a row must follow the last one'); END)"},
    {"charge_in_order", R"(CREATE TRIGGER charge_in_order BEFORE INSERT ON entry
WHEN json_extract(NEW.payload, '$.kind') = 'charge' AND json_extract(NEW.payload, '$.first_step') IS NOT
  (SELECT coalesce(max(last_step), 0) + 1 FROM entry
   WHERE kind = 'charge' AND run_id = json_extract(NEW.payload, '$.run_id'))
BEGIN SELECT RAISE(ABORT, 'a charge must continue after the highest charged step'); END)"},
    {"by_authority", "CREATE INDEX by_authority ON entry (id) WHERE kind IN ('owner', 'member', 'grant')", 2},
    {"signature", "CREATE TABLE signature (id INTEGER PRIMARY KEY, value TEXT NOT NULL) STRICT", 2},
    {"signed_in_order", R"(CREATE TRIGGER signed_in_order BEFORE INSERT ON signature
WHEN NEW.id IS NOT (SELECT max(id) FROM entry) OR EXISTS (SELECT 1 FROM signature WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'only the last row is signed, and once'); END)",
     2},
    {"no_signature_update", R"(CREATE TRIGGER no_signature_update BEFORE UPDATE ON signature
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END)",
     2},
    {"no_signature_delete", R"(CREATE TRIGGER no_signature_delete BEFORE DELETE ON signature
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END)",
     2},
};

// Those that a ledger of format `from` lacks.
void add_objects(Database& database, int64_t from) {
  for (const Object& object : kSchema)
    if (object.since > from) database.run(object.sql);
  database.run(cat("PRAGMA user_version = ", kLedgerFormat).c_str());
}

}  // namespace

bool create_ledger(const std::filesystem::path& path, const std::function<void(LedgerBackend&)>& fill) {
  if (std::filesystem::exists(path)) return false;
  if (std::filesystem::exists(path.string() + "-wal"))
    throw Error(ErrorKind::io,
                cat(path.string(), " is gone, but its log ", path.string(),
                    "-wal is there; restore the ledger, or remove the log if nothing was ever charged"));
  return put_in_place(path, [&](const std::filesystem::path& unfinished) {
    Database database(unfinished, Database::Access::read_write);
    database.run("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL");
    SqliteBackend backend(database);
    Transaction transaction(backend);
    database.run(cat("PRAGMA application_id = ", kLedgerApplicationId).c_str());
    add_objects(database, 0);
    fill(backend);
    transaction.commit();
    database.run("PRAGMA journal_mode = WAL");  // kept in the file's header
  });
}

void check_identity(Database& database) {
  const std::string path = database.path().string();
  if (database.pragma("application_id") != kLedgerApplicationId)
    throw Error(ErrorKind::data, cat(path, " is a database, but not a ledger; set ledger.path to another file"));
  const int64_t format = database.pragma("user_version");
  if (format > kLedgerFormat)
    throw Error(ErrorKind::data, cat(path, " has ledger format ", format, ", this program knows up to ", kLedgerFormat,
                                     "; use a newer sotto"));
  if (format < 1) throw Error(ErrorKind::data, cat(path, " has the impossible ledger format ", format));
}

void migrate(Database& database) {
  if (database.pragma("user_version") == kLedgerFormat) return;
  SqliteBackend backend(database);
  Transaction transaction(backend);
  const int64_t from = database.pragma("user_version");
  if (from == kLedgerFormat) return;  // another process was first
  if (const auto difference = schema_difference(database); !difference.empty())
    throw Error(ErrorKind::data, cat(database.path().string(), " was altered: ", difference, "; restore a backup"));
  add_objects(database, from);
  Appender(backend, nullptr, std::time(nullptr)).append("migrate", {{"from", from}, {"to", kLedgerFormat}});
  fault_point("ledger.migrate.before_commit");
  transaction.commit();
}

std::string schema_difference(Database& database) {
  const int64_t format = database.pragma("user_version");
  size_t found = 0, wanted = 0;
  for (const Object& object : kSchema) wanted += object.since <= format;
  Query query = database.query("SELECT name, sql FROM sqlite_schema ORDER BY rowid");
  while (query.step()) {
    const std::string name = query.text(0);
    const Object* expected = nullptr;
    for (const Object& object : kSchema)
      if (name == object.name && object.since <= format) expected = &object;
    if (!expected) return cat("\"", name, "\" does not belong there");
    if (query.text(1) != expected->sql) return cat("\"", name, "\" was changed");
    ++found;
  }
  return found == wanted ? "" : cat(wanted - found, " of its tables, indexes and triggers are missing");
}

}  // namespace sotto::accountants
