#pragma once
#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "tests/accountants/postgres_server.h"

namespace sotto::accountants {

// Stands between a client and the server's socket, passes on every byte, and cuts the connection at one known moment.
class PostgresProxy {
 public:
  enum class Cut {
    never,
    before_commit,  // the server never sees the COMMIT
    before_answer,  // the server has committed, the client is not told
  };
  explicit PostgresProxy(const PostgresServer& server);
  ~PostgresProxy();
  PostgresProxy(const PostgresProxy&) = delete;

  // The same ledger as at the server itself.
  LedgerLocation through(const LedgerLocation& location) const;
  // Once, at the next COMMIT; then `meanwhile` runs, before anybody can connect again.
  void cut(Cut when, std::function<void()> meanwhile = {});
  bool has_cut() const { return cuts_ > 0; }

 private:
  void serve();
  void pass(int client);

  std::filesystem::path folder_, server_;
  int listener_, stop_[2];
  std::atomic<Cut> when_ = Cut::never;
  std::atomic<int> cuts_ = 0;
  std::function<void()> meanwhile_;
  std::thread thread_;
};

}  // namespace sotto::accountants
