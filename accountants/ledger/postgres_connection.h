#pragma once
#include <libpq-fe.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "accountants/ledger/location.h"

namespace sotto::accountants {

// The rows that a statement gave. Columns count from 0; a text holds as long as this.
class PostgresResult {
 public:
  explicit PostgresResult(PGresult* result) : result_(result, PQclear) {}
  int rows() const { return PQntuples(result_.get()); }
  std::string_view view(int row, int column) const;
  std::string text(int row, int column) const { return std::string(view(row, column)); }
  int64_t integer(int row, int column) const;  // 0 where there is none
  PGresult* get() const { return result_.get(); }

 private:
  std::unique_ptr<PGresult, void (*)(PGresult*)> result_;
};

// A statement and its values, as text.
struct PostgresStatement {
  const char* sql;
  std::vector<std::string> values = {};
};

// What libpq allocated.
class PostgresBytes {
 public:
  PostgresBytes() = default;
  PostgresBytes(char* bytes, size_t size) : bytes_(bytes, PQfreemem), size_(size) {}
  std::string_view view() const { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<char, void (*)(void*)> bytes_{nullptr, PQfreemem};
  size_t size_ = 0;
};

// A connection to a server that keeps what it confirms: durable commits (fsync, synchronous_commit) and UTF-8 are
// checked when it is made, to write only where it may. Names without a schema mean the ledger's. Failures throw: data
// for a damaged database, io otherwise, with the location and the server's reason. When the connection is lost,
// `lost()` is true until reconnect(); nothing is tried again here.
class PostgresConnection {
 public:
  enum class Access { read_only, read_write };
  PostgresConnection(const LedgerLocation& location, Access access);

  // Several statements in one text, without values.
  PostgresResult run(const std::string& sql);
  // Prepared once for each `sql`, by the literal's address.
  PostgresResult query(const PostgresStatement& statement);
  // What a SELECT gives, row after row as the server sends them (COPY ... (FORMAT binary)), until nothing is left. Ask
  // for nothing else before.
  void start_copy(const std::string& select);
  PostgresBytes next_copied();
  // Starts a SELECT, and what else is in the text, and does not wait; finish() does, and gives the SELECT's rows. Ask
  // for nothing else between.
  void start(const std::string& sql);
  PostgresResult finish();
  // All of them in one message and one answer: what fails stops the rest. `last` is not prepared.
  void run_all(const std::vector<PostgresStatement>& statements, const char* last);

  // Also where the server has closed it since the last statement.
  bool lost() const;
  // Connects anew, while the server starts again for up to 30 s.
  void reconnect();

  const LedgerLocation& location() const { return location_; }
  int64_t server_version() const { return PQserverVersion(handle_.get()); }

 private:
  void connect(bool patiently);
  void check_server();
  const char* prepared(const char* sql);
  [[noreturn]] void fail(const PGresult* result) const;
  PostgresResult checked(PGresult* result) const;

  LedgerLocation location_;
  Access access_;
  std::unique_ptr<PGconn, void (*)(PGconn*)> handle_{nullptr, PQfinish};
  std::map<const char*, std::string> statements_;
};

}  // namespace sotto::accountants
