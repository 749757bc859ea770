#include "tests/accountants/postgres_server.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace sotto::accountants {
namespace {

std::string why_none;

// The newest of Debian's places, or the one in PATH.
std::filesystem::path find_programs() {
  std::vector<std::filesystem::path> found;
  std::error_code ignored;
  for (const auto& version : std::filesystem::directory_iterator("/usr/lib/postgresql", ignored))
    if (std::filesystem::exists(version.path() / "bin/initdb")) found.push_back(version.path() / "bin");
  std::ranges::sort(found, {}, [](const auto& path) { return std::atoi(path.parent_path().filename().c_str()); });
  return found.empty() ? "" : found.back();
}

const passwd* unprivileged() {
  const passwd* user = getpwnam("postgres");
  return user ? user : getpwnam("nobody");
}

// In the child: gives up root, and goes when the thread that made it goes, however that ends.
void become_unprivileged(const passwd* user) {
  if (user && (setgroups(0, nullptr) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)) _exit(126);
  prctl(PR_SET_PDEATHSIG, SIGQUIT);
}

// With owners and modes; false where there is nothing to copy.
bool copy_folder(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (!std::filesystem::exists(from)) return false;
  const pid_t pid = fork();
  if (pid == 0) {
    execlp("cp", "cp", "-a", from.c_str(), to.c_str(), nullptr);
    _exit(127);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::string read_whole(const std::filesystem::path& path) {
  std::ifstream in(path);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// Not even waiting to be collected by whoever inherited it.
bool is_alive(pid_t pid) {
  const std::string stat = read_whole("/proc/" + std::to_string(pid) + "/stat");
  const size_t state = stat.rfind(") ");
  return state != std::string::npos && stat[state + 2] != 'Z';
}

}  // namespace

PostgresServer* PostgresServer::shared() {
  static const std::unique_ptr<PostgresServer> server = [] {
    std::unique_ptr<PostgresServer> made;
    if (find_programs().empty()) {
      why_none = "no PostgreSQL server here (Debian: postgresql)";
      return made;
    }
    try {
      made = std::make_unique<PostgresServer>();
      made->start();
    } catch (const std::exception& error) {  // a machine where nobody may become the server's user, say
      why_none = std::string("PostgreSQL does not start here: ") + error.what();
      return std::unique_ptr<PostgresServer>();
    }
    setenv("PGUSER", "sotto", 1);  // a location as it is shown names no user
    return made;
  }();
  return server.get();
}

const std::string& PostgresServer::why() {
  return why_none;
}

PostgresServer::PostgresServer() : programs_(find_programs()) {
  char name[] = "/tmp/sotto_postgres_XXXXXX";
  if (!mkdtemp(name)) throw std::runtime_error("cannot make a folder in /tmp");
  folder_ = name;
  if (const passwd* user = geteuid() == 0 ? unprivileged() : nullptr)
    if (chown(name, user->pw_uid, user->pw_gid) != 0) throw std::runtime_error("cannot give the server its folder");
  // Making a cluster takes a second or two and each test is a process of its own, so the first leaves a copy to the
  // others.
  const std::filesystem::path kept =
      std::filesystem::path(SOTTO_BINARY) / "tests" /
      ("postgres_" + programs_.parent_path().filename().string() + "_" + std::to_string(geteuid()));
  const std::filesystem::path data = folder_ / "data", unfinished = kept.string() + "." + std::to_string(getpid());
  if (copy_folder(kept, data)) return;
  const std::string said = run({"initdb", "-D", data, "-U", "sotto", "-A", "trust", "-E", "UTF8", "--locale=C",
                                "--no-sync", "--no-instructions"});
  if (!std::filesystem::exists(data / "PG_VERSION")) throw std::runtime_error("initdb: " + said);
  std::error_code another_was_first;
  std::filesystem::create_directories(kept.parent_path());
  if (copy_folder(data, unfinished)) std::filesystem::rename(unfinished, kept, another_was_first);
  std::filesystem::remove_all(unfinished);
}

PostgresServer::~PostgresServer() {
  if (pid_ > 0) stop();
  std::filesystem::remove_all(folder_);
}

LedgerLocation PostgresServer::fresh() {
  return location("ledger_" + std::to_string(++ledgers_));
}

LedgerLocation PostgresServer::location(const std::string& schema, const std::string& options) const {
  return LedgerLocation::parse("postgresql://sotto@/postgres?host=" + folder_.string() + "&schema=" + schema + options);
}

void PostgresServer::start() {
  std::filesystem::remove(folder_ / "data/postmaster.pid");
  pid_ = fork();
  if (pid_ == 0) {
    become_unprivileged(geteuid() == 0 ? unprivileged() : nullptr);
    const int log = open((folder_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    const std::string program = programs_ / "postgres", data = folder_ / "data",
                      socket = "unix_socket_directories=" + folder_.string();
    execl(program.c_str(), "postgres", "-D", data.c_str(), "-c", socket.c_str(), "-c", "listen_addresses=", "-c",
          "shared_buffers=16MB", "-c", "max_connections=60", "-c", "wal_level=minimal", "-c", "max_wal_senders=0", "-c",
          // Nothing is flushed but what somebody waits for.
          "wal_writer_delay=10000", nullptr);
    _exit(127);
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(120);
  while (read_whole(folder_ / "data/postmaster.pid").find("ready") == std::string::npos) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_ || std::chrono::steady_clock::now() > end) {
      pid_ = 0;
      throw std::runtime_error("the server did not start:\n" + read_whole(folder_ / "log"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void PostgresServer::stop() {
  kill(pid_, SIGQUIT);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

void PostgresServer::kill_hard() {
  // First stopped, so that none of its processes is started or ends on its own meanwhile.
  kill(pid_, SIGSTOP);
  const std::string children =
      read_whole("/proc/" + std::to_string(pid_) + "/task/" + std::to_string(pid_) + "/children");
  std::istringstream in(children);
  std::vector<pid_t> killed;
  for (pid_t child; in >> child; killed.push_back(child)) kill(child, SIGKILL);
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
  // A new server refuses to start while one of the old one's processes lives.
  for (const pid_t child : killed)
    while (is_alive(child)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

std::string PostgresServer::sql(const std::string& statement) const {
  return run({"psql", "-X", "-q", "-A", "-t", "-h", folder_, "-U", "sotto", "-d", "postgres", "-c", statement});
}

std::string PostgresServer::run(const std::vector<std::string>& words) const {
  int out[2];
  if (pipe(out) != 0) throw std::runtime_error("no pipe");
  const std::string program = programs_ / words[0];
  std::vector<char*> argv;
  for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    become_unprivileged(geteuid() == 0 ? unprivileged() : nullptr);
    for (const int to : {STDOUT_FILENO, STDERR_FILENO}) dup2(out[1], to);
    close(out[0]), close(out[1]);
    if (chdir("/") != 0) _exit(126);
    execv(program.c_str(), argv.data());
    _exit(127);
  }
  close(out[1]);
  std::string said;
  char block[4096];
  for (ssize_t got; (got = read(out[0], block, sizeof block)) > 0;) said.append(block, static_cast<size_t>(got));
  close(out[0]);
  waitpid(pid, nullptr, 0);
  while (said.ends_with('\n')) said.pop_back();
  return said;
}

}  // namespace sotto::accountants
