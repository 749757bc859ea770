#include "accountants/ledger/database.h"

#include "base/error.h"

namespace sotto::accountants {
namespace {

[[noreturn]] void fail_with(sqlite3* handle, int code, const LedgerLocation& file) {
  const std::filesystem::path& path = file.file();
  const std::string reason = handle ? sqlite3_errmsg(handle) : sqlite3_errstr(code);
  switch (code & 0xff) {
    case SQLITE_NOTADB:
      throw Error(ErrorKind::data,
                  cat(path.string(), " is not a ledger (", reason, "); set ledger.path to another file"));
    case SQLITE_CORRUPT:
      throw Error(ErrorKind::data, cat(path.string(), " is damaged (", reason, "); restore it from a backup"));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw Error(ErrorKind::io,
                  cat(path.string(), " was locked by another process for ",
                      std::chrono::duration<double>(file.patience()).count(), " s; let that one finish and try again"));
    case SQLITE_FULL:
      throw Error(ErrorKind::io, cat("no space left to write ", path.string(), "; free some and try again"));
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
      throw Error(ErrorKind::io,
                  cat("cannot use ", path.string(), " (", reason,
                      "); the file and its folder must be readable and writable: change them or ledger.path"));
    case SQLITE_CONSTRAINT:
      throw Error(ErrorKind::internal, cat(path.string(), " refused a row: ", reason));
    default:
      throw Error(ErrorKind::io, cat("cannot use ", path.string(), ": ", reason));
  }
}

std::string uri(const std::filesystem::path& path, const char* parameters) {
  std::string text = "file:";
  for (const char c : std::filesystem::absolute(path).string()) {
    if (c == '%')
      text += "%25";
    else if (c == '?')
      text += "%3f";
    else if (c == '#')
      text += "%23";
    else
      text += c;
  }
  return text + parameters;
}

}  // namespace

bool has_log(const std::filesystem::path& path) {
  std::error_code ignored;
  const auto size = std::filesystem::file_size(path.string() + "-wal", ignored);
  return !ignored && size > 0;
}

Query::~Query() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Query& Query::bind(std::string_view text) {
  const int code = sqlite3_bind_text64(statement_, ++bound_, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (code != SQLITE_OK) database_.fail(code);
  return *this;
}

Query& Query::bind(int64_t number) {
  const int code = sqlite3_bind_int64(statement_, ++bound_, number);
  if (code != SQLITE_OK) database_.fail(code);
  return *this;
}

bool Query::step() {
  const int code = sqlite3_step(statement_);
  if (code != SQLITE_ROW && code != SQLITE_DONE) database_.fail(code);
  return code == SQLITE_ROW;
}

std::string Query::text(int column) const {
  return std::string(view(column));
}

std::string_view Query::view(int column) const {
  // A text's bytes where they lie: sqlite3_column_text() copies them to put a zero behind.
  const void* bytes = sqlite3_column_blob(statement_, column);
  if (!bytes) return {};
  return {static_cast<const char*>(bytes), static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

int64_t Query::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

bool Query::is_null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

Database::Database(const LedgerLocation& file, Access access) : location_(file) {
  const std::filesystem::path& path = location_.file();
  const int flags = SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
                    (access == Access::read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
  const auto open = [&](const char* parameters) {
    const int code = sqlite3_open_v2(uri(path, parameters).c_str(), &handle_, flags, nullptr);
    if (code != SQLITE_OK) return code;
    sqlite3_extended_result_codes(handle_, 1);
    sqlite3_busy_timeout(handle_, static_cast<int>(location_.patience().count()));
    sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    return sqlite3_exec(handle_, "SELECT count(*) FROM sqlite_schema", nullptr, nullptr, nullptr);
  };
  int code = open("");
  // Reading a write-ahead logged file in a folder that cannot be written: safe as long as there is no log to merge.
  if (code != SQLITE_OK && access == Access::read_only && !has_log(path)) {
    const int primary = code & 0xff;
    if (primary == SQLITE_CANTOPEN || primary == SQLITE_READONLY) {
      sqlite3_close(handle_);
      code = open("?immutable=1");
    }
  }
  if (code == SQLITE_OK) return;
  try {
    fail(code);
  } catch (...) {
    sqlite3_close(handle_);
    throw;
  }
}

Database::~Database() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(handle_);
}

void Database::fail(int code) const {
  fail_with(handle_, code, location_);
}

void Database::run(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(code);
}

Query Database::query(const char* sql) {
  sqlite3_stmt*& statement = statements_[sql];
  if (!statement) {
    const int code = sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) fail(code);
  }
  return Query(*this, statement);
}

int64_t Database::pragma(const char* name) {
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v2(handle_, cat("PRAGMA ", name).c_str(), -1, &statement, nullptr);
  if (code != SQLITE_OK) fail(code);
  code = sqlite3_step(statement);
  const int64_t value = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  if (code != SQLITE_ROW) fail(code);
  return value;
}

void Database::copy_to(const std::filesystem::path& to) {
  sqlite3* target = nullptr;
  int code = sqlite3_open_v2(to.c_str(), &target, SQLITE_OPEN_READWRITE, nullptr);
  if (code == SQLITE_OK) {
    sqlite3_backup* copy = sqlite3_backup_init(target, "main", handle_, "main");
    if (copy) sqlite3_backup_step(copy, -1);  // all at once: a reader's view, which writers need not wait for
    code = copy ? sqlite3_backup_finish(copy) : sqlite3_errcode(target);
  }
  try {
    if (code != SQLITE_OK) fail_with(target, code, to);
  } catch (...) {
    sqlite3_close(target);
    throw;
  }
  sqlite3_close(target);
}

bool Database::read_only() const {
  return sqlite3_db_readonly(handle_, "main") == 1;
}

}  // namespace sotto::accountants
