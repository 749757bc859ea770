#pragma once
#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>

namespace sotto::accountants {

// Where a ledger is: a file of this machine, or a PostgreSQL database for many machines.
class LedgerLocation {
 public:
  LedgerLocation() = default;
  LedgerLocation(const std::filesystem::path& file) : file_(file), text_(file.string()) {}

  // A path, or postgresql://[user@][host][:port]/[database][?options] as libpq reads it, with one option of our own:
  // `schema`, the schema of that database that holds the ledger (sotto_ledger). Throws configuration for another
  // scheme, for a schema's name that is not of a-z, 0-9 and _, and for a location that holds a password: it would end
  // up in shell histories, configurations and process lists. The message does not repeat it.
  static LedgerLocation parse(std::string_view text);

  bool on_server() const { return !connection_.empty(); }
  // Of a ledger on a server: what libpq connects to, and the schema.
  const std::string& connection() const { return connection_; }
  const std::string& schema() const { return schema_; }
  // Of a ledger in a file.
  const std::filesystem::path& file() const { return file_; }

  // How long to wait for others who write: 30 s, or as long as waiting() says, from a millisecond to 24 days.
  std::chrono::milliseconds patience() const { return patience_; }
  LedgerLocation waiting(std::chrono::milliseconds patience) const;

  // For people, reports and certificates: the path, or the server's location without the user's name and without
  // options that do not say where it is. parse() reads it back.
  const std::string& text() const { return text_; }

 private:
  std::filesystem::path file_;
  std::string connection_, schema_, text_;
  std::chrono::milliseconds patience_ = std::chrono::seconds(30);
};

}  // namespace sotto::accountants
