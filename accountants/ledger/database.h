#pragma once
#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace sotto::accountants {

// Whether the file's write-ahead log has something in it.
bool has_log(const std::filesystem::path& path);

// A prepared statement in use: bind in order, step through the rows, columns count from 0. Resets itself at the end.
class Query {
 public:
  Query(sqlite3* handle, sqlite3_stmt* statement, const std::filesystem::path& path);
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
  sqlite3* handle_;
  sqlite3_stmt* statement_;
  const std::filesystem::path& path_;
  int bound_ = 0;
};

// An SQLite connection to an existing file, for one thread at a time. Waits up to 30 s for other processes. Every
// failure throws: data when the file is damaged or no database, io otherwise, with the path and SQLite's reason.
class Database {
 public:
  enum class Access { read_only, read_write };
  Database(const std::filesystem::path& path, Access access);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void run(const char* sql);
  Query query(const char* sql);  // prepared once for each `sql`; one use at a time
  int64_t pragma(const char* name);
  bool read_only() const;
  // Copies one moment of this database over the existing file `to`.
  void copy_to(const std::filesystem::path& to);
  const std::filesystem::path& path() const { return path_; }
  const std::string& name() const { return name_; }

 private:
  std::filesystem::path path_;
  std::string name_;
  sqlite3* handle_ = nullptr;
  std::map<const char*, sqlite3_stmt*> statements_;  // by the literal's address
};

}  // namespace sotto::accountants
