#include "accountants/ledger/sqlite_backend.h"

#include "accountants/ledger/schema.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

LedgerRow row_of(const Query& query) {
  return {query.integer(0), query.text(1), query.text(2), query.text(3)};
}

std::optional<LedgerRow> one(Query& query) {
  if (!query.step()) return std::nullopt;
  return row_of(query);
}

std::vector<LedgerRow> all(Query& query) {
  std::vector<LedgerRow> rows;
  while (query.step()) rows.push_back(row_of(query));
  return rows;
}

}  // namespace

std::unique_ptr<LedgerBackend> SqliteBackend::open(const LedgerLocation& file) {
  const std::filesystem::path& path = file.file();
  if (!std::filesystem::exists(path))
    throw Error(ErrorKind::io, cat("there is no ledger ", path.string(), "; check ledger.path"));
  if (!std::filesystem::is_regular_file(path))
    throw Error(ErrorKind::io, cat(path.string(), " is not a file; ledger.path must name one"));
  // SQLite would take an empty file for a new database, and every charge in a truncated ledger would be forgotten.
  if (std::filesystem::file_size(path) == 0)
    throw Error(ErrorKind::data,
                cat(path.string(), " is empty, so not a ledger; restore a backup or set ledger.path to a new file"));
  auto database = std::make_unique<Database>(file, Database::Access::read_write);
  check_identity(*database);
  if (database->read_only())
    throw Error(ErrorKind::io, cat(path.string(), " cannot be written; change its permissions or ledger.path"));
  database->run("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  migrate(*database);
  if (const auto difference = schema_difference(*database); !difference.empty())
    throw Error(ErrorKind::data, cat(path.string(), " was altered: ", difference, "; restore a backup"));
  return std::unique_ptr<LedgerBackend>(new SqliteBackend(std::move(database)));
}

void SqliteBackend::roll_back() noexcept {
  try {
    database_.run("ROLLBACK");
  } catch (const Error&) {
    // SQLite has rolled back by itself, and the error that brought us here is the one to see.
  }
}

void SqliteBackend::append(const LedgerRow& row) {
  database_.query("INSERT INTO entry (id, payload, hash) VALUES (?, ?, ?)")
      .bind(row.id)
      .bind(row.payload)
      .bind(row.hash)
      .step();
}

void SqliteBackend::sign(const Head& last, const std::string& signature) {
  database_.query("INSERT INTO signature (id, value) VALUES (?, ?)").bind(last.id).bind(signature).step();
}

std::optional<LedgerRow> SqliteBackend::last_row() {
  Query query = database_.query("SELECT id, kind, payload, hash FROM entry ORDER BY id DESC LIMIT 1");
  return one(query);
}

std::optional<LedgerRow> SqliteBackend::last_row_of(const std::string& run_id) {
  Query query = database_.query("SELECT id, kind, payload, hash FROM entry WHERE run_id = ? ORDER BY id DESC LIMIT 1");
  query.bind(run_id);
  return one(query);
}

std::optional<LedgerRow> SqliteBackend::row(int64_t id) {
  Query query = database_.query("SELECT id, kind, payload, hash FROM entry WHERE id = ?");
  query.bind(id);
  return one(query);
}

std::optional<LedgerRow> SqliteBackend::reservation(const std::string& run_id) {
  Query query =
      database_.query("SELECT id, kind, payload, hash FROM entry WHERE run_id = ? AND kind = 'reserve' LIMIT 1");
  query.bind(run_id);
  return one(query);
}

std::vector<LedgerRow> SqliteBackend::rows_after(Rows about, int64_t id) {
  // SQLite takes a partial index only where the index's own condition stands in letters too.
  const char* sql =
      about == Rows::authority ? "SELECT id, kind, payload, hash FROM entry "
                                 "WHERE kind IN ('owner', 'member', 'grant') AND id > ? ORDER BY id"
      : about == Rows::caps    ? "SELECT id, kind, payload, hash FROM entry INDEXED BY by_kind "
                                 "WHERE kind IN ('genesis', 'cap', 'reserve') AND kind = 'cap' AND id > ? ORDER BY id"
      : about == Rows::reservations
          ? "SELECT id, kind, payload, hash FROM entry INDEXED BY by_kind "
            "WHERE kind IN ('genesis', 'cap', 'reserve') AND kind = 'reserve' AND id > ? ORDER BY id"
          : "SELECT id, kind, payload, hash FROM entry NOT INDEXED WHERE kind = 'release' AND id > ? ORDER BY id";
  Query query = database_.query(sql);
  query.bind(id);
  return all(query);
}

std::vector<LedgerRow> SqliteBackend::rows(const std::string& run_id) {
  Query query = database_.query("SELECT id, kind, payload, hash FROM entry WHERE ?1 = '' OR run_id = ?1 ORDER BY id");
  query.bind(run_id);
  return all(query);
}

std::vector<RunProgress> SqliteBackend::progress(const std::vector<std::string>& run_ids) {
  std::vector<RunProgress> found;
  found.reserve(run_ids.size());
  for (const std::string& run_id : run_ids) {
    RunProgress& run = found.emplace_back();
    Query charge = database_.query(
        "SELECT id, kind, payload, hash, last_step FROM entry WHERE run_id = ? AND kind = 'charge' ORDER BY last_step "
        "DESC LIMIT 1");
    if (charge.bind(run_id).step()) run.charged_steps = charge.integer(4), run.last_charge = row_of(charge);
    Query release =
        database_.query("SELECT json_extract(payload, '$.at') FROM entry WHERE run_id = ? AND kind = 'release'");
    if (release.bind(run_id).step()) run.released_at = release.text(0);
  }
  return found;
}

std::optional<std::string> SqliteBackend::signature(int64_t id) {
  Query query = database_.query("SELECT value FROM signature WHERE id = ?");
  if (!query.bind(id).step()) return std::nullopt;
  return query.text(0);
}

}  // namespace sotto::accountants
