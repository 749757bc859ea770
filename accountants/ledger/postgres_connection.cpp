#include "accountants/ledger/postgres_connection.h"

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/error.h"

namespace sotto::accountants {
namespace {

using std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::seconds(30);
constexpr int kOldestServer = 120000;  // the first with columns that are computed from others

// libpq ends its messages with a newline, and says some on several lines.
std::string one_line(const char* text) {
  std::string line = text ? text : "";
  while (!line.empty() && line.back() == '\n') line.pop_back();
  for (char& c : line)
    if (c == '\n') c = ' ';
  return line;
}

std::vector<const char*> pointers(const std::vector<std::string>& values) {
  std::vector<const char*> found;
  for (const std::string& value : values) {
    // It would be cut short there, and the rest forgotten.
    require(value.find('\0') == std::string::npos,
            "a text for the ledger holds the character 0, which PostgreSQL cannot keep");
    found.push_back(value.c_str());
  }
  return found;
}

}  // namespace

std::string_view PostgresResult::view(int row, int column) const {
  return {PQgetvalue(result_.get(), row, column), static_cast<size_t>(PQgetlength(result_.get(), row, column))};
}

int64_t PostgresResult::integer(int row, int column) const {
  const std::string_view digits = view(row, column);
  int64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

PostgresConnection::PostgresConnection(const LedgerLocation& location, Access access)
    : location_(location), access_(access) {
  connect(false);
}

bool PostgresConnection::lost() const {
  // The first look takes in the server's last words, the second finds that nothing follows.
  for (int look = 0; look < 2 && PQstatus(handle_.get()) == CONNECTION_OK; ++look) PQconsumeInput(handle_.get());
  return PQstatus(handle_.get()) != CONNECTION_OK;
}

void PostgresConnection::reconnect() {
  connect(true);
}

void PostgresConnection::connect(bool patiently) {
  statements_.clear();
  // What the location says goes before these.
  const std::pair<const char*, const char*> parameters[] = {{"connect_timeout", "10"},
                                                            {"keepalives_idle", "10"},
                                                            {"keepalives_interval", "5"},
                                                            {"keepalives_count", "3"},
                                                            {"tcp_user_timeout", "25000"},
                                                            {"fallback_application_name", "sotto"},
                                                            {"dbname", location_.connection().c_str()},
                                                            {"client_encoding", "UTF8"}};
  std::vector<const char*> names, values;
  for (const auto& [name, value] : parameters) names.push_back(name), values.push_back(value);
  names.push_back(nullptr), values.push_back(nullptr);
  const auto end = steady_clock::now() + kPatience;
  for (auto pause = std::chrono::milliseconds(20);; pause = std::min(2 * pause, std::chrono::milliseconds(1000))) {
    handle_.reset(PQconnectdbParams(names.data(), values.data(), 1));
    if (!lost()) break;
    // A server that is starting or recovering will be there in a moment; after a crash there is none at all at first.
    const bool coming = patiently || PQpingParams(names.data(), values.data(), 1) == PQPING_REJECT;
    if (!coming || steady_clock::now() > end)
      throw Error(ErrorKind::io,
                  cat("cannot reach ", location_.text(), ": ", one_line(PQerrorMessage(handle_.get())),
                      "; check ledger.path and the server (the password is read from PGPASSWORD or ~/.pgpass)"));
    std::this_thread::sleep_for(pause);
  }
  PQsetNoticeProcessor(
      handle_.get(), [](void*, const char*) {}, nullptr);
  check_server();
}

void PostgresConnection::check_server() {
  const std::string& name = location_.text();
  if (server_version() < kOldestServer)
    throw Error(ErrorKind::io, cat(name, " is PostgreSQL ", server_version() / 10000, "; a ledger needs 12 or newer"));
  // A transaction that is left open holds the lock that others wait for.
  // A plan that was made while the table was small would read all of it for ever, also in triggers: through indexes
  // alone. What is not allowed counts as so dear that the server would compile each such plan, for half a second.
  run(cat("SET search_path TO ", location_.schema(), "; SET lock_timeout TO '", location_.patience().count(),
          "ms'; SET idle_in_transaction_session_timeout TO '60s'; SET enable_seqscan TO off; "
          "SET jit TO off; SET standard_conforming_strings TO on"));
  const PostgresResult server =
      query({"SELECT current_setting('server_encoding'), current_setting('fsync'), "
             "current_setting('synchronous_commit'), pg_is_in_recovery(), "
             // From here on a reload of the server's configuration does not change it.
             "set_config('synchronous_commit', current_setting('synchronous_commit'), false)"});
  if (server.text(0, 0) != "UTF8")
    throw Error(ErrorKind::io, cat("the database of ", name, " is encoded in ", server.text(0, 0),
                                   "; a ledger's needs UTF8 (CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0)"));
  if (access_ == Access::read_only) return;
  if (server.text(0, 3) == "t")
    throw Error(ErrorKind::io, cat(name, " is a standby, which cannot be written; name the primary server"));
  for (const auto& [column, setting] : {std::pair{1, "fsync"}, {2, "synchronous_commit"}})
    if (server.text(0, column) == "off")
      throw Error(ErrorKind::io, cat(name, " has ", setting,
                                     " off: a crash of the server would forget charges that it confirmed, "
                                     "and they would be spent again; set ",
                                     setting, " = on"));
}

void PostgresConnection::fail(const PGresult* result) const {
  const std::string name = location_.text(),
                    reason = one_line(result ? PQresultErrorMessage(result) : PQerrorMessage(handle_.get()));
  const char* field = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : nullptr;
  const std::string state = field ? field : "";
  if (lost()) throw Error(ErrorKind::io, cat("the connection to ", name, " was lost (", reason, "); try again"));
  if (state == "55P03")
    throw Error(ErrorKind::io, cat(name, " was locked by another process for ",
                                   std::chrono::duration<double>(location_.patience()).count(),
                                   " s; let that one finish and try again"));
  if (state == "53100") throw Error(ErrorKind::io, cat("no space left to write ", name, "; free some and try again"));
  if (state == "25006") throw Error(ErrorKind::io, cat(name, " cannot be written (", reason, ")"));
  if (state == "42501")
    throw Error(ErrorKind::io, cat("not allowed to use ", name, " (", reason, "); a role needs USAGE on the schema ",
                                   location_.schema(),
                                   " and SELECT and INSERT on its tables, or CREATE on the database to make a ledger"));
  if (state == "XX001" || state == "XX002" || state == "42P01")
    throw Error(ErrorKind::data, cat(name, " is damaged or was altered (", reason, "); restore it from a backup"));
  if (state.starts_with("23")) throw Error(ErrorKind::internal, cat(name, " refused a row: ", reason));
  if (state == "22P05" || state == "22021")
    throw Error(ErrorKind::invalid_argument, cat("a text for the ledger cannot be kept in PostgreSQL: ", reason));
  throw Error(ErrorKind::io, cat("cannot use ", name, ": ", reason));
}

PostgresResult PostgresConnection::checked(PGresult* result) const {
  PostgresResult owned(result);
  const ExecStatusType status = PQresultStatus(result);
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) fail(result);
  return owned;
}

PostgresResult PostgresConnection::run(const std::string& sql) {
  return checked(PQexec(handle_.get(), sql.c_str()));
}

const char* PostgresConnection::prepared(const char* sql) {
  std::string& name = statements_[sql];
  if (name.empty()) {
    const std::string fresh = cat("s", statements_.size());
    checked(PQprepare(handle_.get(), fresh.c_str(), sql, 0, nullptr));
    name = fresh;
  }
  return name.c_str();
}

PostgresResult PostgresConnection::query(const PostgresStatement& statement) {
  const std::vector<const char*> values = pointers(statement.values);
  const char* name = prepared(statement.sql);
  return checked(
      PQexecPrepared(handle_.get(), name, static_cast<int>(values.size()), values.data(), nullptr, nullptr, 0));
}

void PostgresConnection::start_copy(const std::string& select) {
  PostgresResult started(PQexec(handle_.get(), cat("COPY (", select, ") TO STDOUT (FORMAT binary)").c_str()));
  if (PQresultStatus(started.get()) != PGRES_COPY_OUT) fail(started.get());
}

PostgresBytes PostgresConnection::next_copied() {
  char* bytes = nullptr;
  const int size = PQgetCopyData(handle_.get(), &bytes, 0);
  if (size > 0) return {bytes, static_cast<size_t>(size)};
  if (size == -2) fail(nullptr);
  // How it ended; then nothing more is to come.
  checked(PQgetResult(handle_.get()));
  while (PGresult* more = PQgetResult(handle_.get())) PQclear(more);
  return {};
}

void PostgresConnection::start(const std::string& sql) {
  if (!PQsendQuery(handle_.get(), sql.c_str())) fail(nullptr);
}

PostgresResult PostgresConnection::finish() {
  PostgresResult rows(nullptr);
  while (PGresult* next = PQgetResult(handle_.get())) {
    PostgresResult owned = checked(next);
    if (PQresultStatus(owned.get()) == PGRES_TUPLES_OK) rows = std::move(owned);
  }
  if (!rows.get()) fail(nullptr);
  return rows;
}

void PostgresConnection::run_all(const std::vector<PostgresStatement>& statements, const char* last) {
  std::vector<const char*> names;
  std::vector<std::vector<const char*>> values;
  for (const PostgresStatement& each : statements) {
    names.push_back(prepared(each.sql));
    values.push_back(pointers(each.values));
  }
  PGconn* handle = handle_.get();
  if (!PQenterPipelineMode(handle)) fail(nullptr);
  bool sent = true;
  for (size_t i = 0; sent && i < names.size(); ++i)
    sent = PQsendQueryPrepared(handle, names[i], static_cast<int>(values[i].size()), values[i].data(), nullptr, nullptr,
                               0);
  if (sent && last) sent = PQsendQueryParams(handle, last, 0, nullptr, nullptr, nullptr, nullptr, 0);
  if (!sent || !PQpipelineSync(handle)) fail(nullptr);
  // The first failure is the one to tell; the rest was not tried.
  PostgresResult failure(nullptr);
  for (bool open = true; open;) {
    PostgresResult result(PQgetResult(handle));
    if (!result.get()) {
      if (lost()) break;
      continue;  // the end of one statement's answer
    }
    const ExecStatusType status = PQresultStatus(result.get());
    open = status != PGRES_PIPELINE_SYNC;
    const bool good = !open || status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    if (!good && !failure.get()) failure = std::move(result);
    if (lost()) break;
  }
  if (lost()) fail(failure.get());
  PQexitPipelineMode(handle);
  if (failure.get()) fail(failure.get());
}

}  // namespace sotto::accountants
