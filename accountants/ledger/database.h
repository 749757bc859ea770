#pragma once
#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "accountants/ledger/location.h"

namespace sotto::accountants {

// Whether the file's write-ahead log has something in it.
bool has_log(const std::filesystem::path& path);

class Database;

// A prepared statement in use: bind in order, step through the rows, columns count from 0. Resets itself at the end.
class Query {
 public:
  Query(const Database& database, sqlite3_stmt* statement) : database_(database), statement_(statement) {}
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  Query& bind(std::string_view text);
  Query& bind(int64_t number);
  bool step();  // false after the last row
  std::string text(int column) const;
  std::string_view view(int column) const;  // the same until the next step
  int64_t integer(int column) const;
  bool is_null(int column) const;

 private:
  const Database& database_;
  sqlite3_stmt* statement_;
  int bound_ = 0;
};

// An SQLite connection to an existing file, for one thread at a time. Waits for other processes as long as the location
// says. Every failure throws: data when the file is damaged or no database, io otherwise, with the path and SQLite's
// reason.
class Database {
 public:
  enum class Access { read_only, read_write };
  Database(const LedgerLocation& file, Access access);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void run(const char* sql);
  Query query(const char* sql);  // prepared once for each `sql`; one use at a time
  int64_t pragma(const char* name);
  bool read_only() const;
  // Copies one moment of this database over the existing file `to`.
  void copy_to(const std::filesystem::path& to);
  const std::filesystem::path& path() const { return location_.file(); }
  const std::string& name() const { return location_.text(); }
  // As what SQLite's code says.
  [[noreturn]] void fail(int code) const;

 private:
  LedgerLocation location_;
  sqlite3* handle_ = nullptr;
  std::map<const char*, sqlite3_stmt*> statements_;  // by the literal's address
};

}  // namespace sotto::accountants
