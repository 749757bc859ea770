#pragma once
#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "accountants/ledger/location.h"

namespace sotto::accountants {

// A real PostgreSQL server in a temporary folder, reached through a socket there and in no other way. It refuses to run
// as root, so there it runs as `postgres` or `nobody`. Everything goes away with the object, or with this process.
class PostgresServer {
 public:
  // The one of this test program, started when it is first asked for (its user becomes PGUSER); null where none can be,
  // and why() says why.
  static PostgresServer* shared();
  static const std::string& why();

  PostgresServer();
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;

  // A place for a ledger that nobody has used.
  LedgerLocation fresh();
  LedgerLocation location(const std::string& schema, const std::string& options = "") const;

  void start();
  void stop();       // as a power cut: SIGQUIT, nothing is written any more
  void kill_hard();  // SIGKILL to every process of the server
  // What psql prints as the database's owner, without headings; the server's message where it refuses.
  std::string sql(const std::string& statement) const;
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::string run(const std::vector<std::string>& words) const;

  std::filesystem::path folder_, programs_;
  pid_t pid_ = 0;
  int ledgers_ = 0;
};

}  // namespace sotto::accountants
