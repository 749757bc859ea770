#include "tests/accountants/postgres_proxy.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string_view>

namespace sotto::accountants {
namespace {

sockaddr_un address(const std::filesystem::path& folder) {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  std::strncpy(at.sun_path, (folder / ".s.PGSQL.5432").c_str(), sizeof at.sun_path - 1);
  return at;
}

// As it is within a message: the text of a statement ends with a zero. READ COMMITTED does not match.
constexpr std::string_view kCommit{"COMMIT\0", 7};

void send_all(int to, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(to, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

}  // namespace

PostgresProxy::PostgresProxy(const PostgresServer& server) : server_(server.folder()) {
  char name[] = "/tmp/sotto_proxy_XXXXXX";
  if (!mkdtemp(name)) throw std::runtime_error("cannot make a folder in /tmp");
  folder_ = name;
  const sockaddr_un at = address(folder_);
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(listener_, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 || listen(listener_, 8) != 0 ||
      pipe(stop_) != 0)
    throw std::runtime_error("no socket for the proxy");
  thread_ = std::thread([this] { serve(); });
}

PostgresProxy::~PostgresProxy() {
  close(stop_[1]);
  thread_.join();
  close(stop_[0]);
  close(listener_);
  std::filesystem::remove_all(folder_);
}

LedgerLocation PostgresProxy::through(const LedgerLocation& location) const {
  return LedgerLocation::parse("postgresql:///postgres?host=" + folder_.string() + "&schema=" + location.schema());
}

void PostgresProxy::cut(Cut when, std::function<void()> meanwhile) {
  meanwhile_ = std::move(meanwhile);
  when_ = when;
}

// One client after the other.
void PostgresProxy::serve() {
  for (;;) {
    pollfd wait[2] = {{listener_, POLLIN, 0}, {stop_[0], POLLIN, 0}};
    poll(wait, 2, -1);
    if (wait[1].revents) return;
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    pass(client);
    close(client);
  }
}

void PostgresProxy::pass(int client) {
  const sockaddr_un at = address(server_);
  const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::string before;  // the end of what was passed on, in case the COMMIT comes in two pieces
  bool answer_is_cut = false;
  if (connect(server, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0)
    for (bool open = true; open;) {
      pollfd wait[3] = {{client, POLLIN, 0}, {server, POLLIN, 0}, {stop_[0], POLLIN, 0}};
      poll(wait, 3, -1);
      if (wait[2].revents) break;
      char block[65536];
      if (wait[1].revents) {
        const ssize_t got = read(server, block, sizeof block);
        open = got > 0 && !answer_is_cut;
        if (open) send_all(client, {block, static_cast<size_t>(got)});
      }
      if (open && wait[0].revents) {
        const ssize_t got = read(client, block, sizeof block);
        if (got <= 0) break;
        before.append(block, static_cast<size_t>(got));
        const bool commits = when_ != Cut::never && before.find(kCommit) != std::string::npos;
        if (commits && when_ == Cut::before_commit) {
          open = false;
        } else {
          send_all(server, {block, static_cast<size_t>(got)});
          answer_is_cut = answer_is_cut || commits;
        }
        before.erase(0, before.size() - std::min(before.size(), kCommit.size()));
      }
      if (!open && when_ != Cut::never) {
        when_ = Cut::never;
        ++cuts_;
        // The server sees that the client is gone, and gives up what was not committed.
        close(server);
        shutdown(client, SHUT_RDWR);
        if (meanwhile_) meanwhile_();
        return;
      }
    }
  close(server);
}

}  // namespace sotto::accountants
