#include "tests/accountants/ledger_child.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "tests/accountants/ledger_fixture.h"

namespace sotto::accountants {
namespace {

std::string drain(int descriptor) {
  std::string text;
  char block[4096];
  for (ssize_t got; (got = read(descriptor, block, sizeof block)) > 0;) text.append(block, static_cast<size_t>(got));
  close(descriptor);
  return text;
}

Ledger open(const LedgerLocation& location, bool insist) {
  for (;;) try {
      return Ledger::open(location);
    } catch (const Error& error) {
      if (!insist || error.kind() != ErrorKind::io) throw;
    }
}

void charge(Ledger& ledger, const std::string& run_id, int count, bool insist) {
  while (count > 0) {
    int64_t next = 0;
    try {
      next = ledger.run(run_id)->charged_steps + 1;
      ledger.charge(run_id, next, next);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::invalid_argument && !(insist && error.kind() == ErrorKind::io)) throw;
      continue;  // the other process took this step, or the server went
    }
    const std::string line = std::to_string(next) + "\n";
    if (write(STDOUT_FILENO, line.data(), line.size()) < 0) std::abort();
    --count;
  }
}

// Until whoever started it closes its standard input.
int serve() {
  PostgresServer* server = has_postgres() ? PostgresServer::shared() : nullptr;
  if (!server) {
    std::fprintf(stderr, "%s\n", has_postgres() ? PostgresServer::why().c_str() : "this build has no PostgreSQL");
    return 1;
  }
  std::printf("%s\n", server->fresh().text().c_str());
  std::fflush(stdout);
  drain(STDIN_FILENO);
  return 0;
}

}  // namespace

Child start_child(const std::vector<std::string>& arguments, const std::string& fault_point) {
  int out[2], err[2];
  if (pipe(out) != 0 || pipe(err) != 0) std::abort();
  std::vector<std::string> words{"/proc/self/exe", "--ledger-child"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    for (const int each : {out[0], out[1], err[0], err[1]}) close(each);
    fault_point.empty() ? unsetenv("SOTTO_FAULT_POINT") : setenv("SOTTO_FAULT_POINT", fault_point.c_str(), 1);
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(out[1]);
  close(err[1]);
  return {pid, out[0], err[0]};
}

Ended wait_for(const Child& child) {
  Ended ended;
  ended.out = drain(child.out);
  ended.err = drain(child.err);
  int status = 0;
  waitpid(child.pid, &status, 0);
  ended.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  ended.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ended;
}

int child_main(const std::vector<std::string>& arguments) {
  try {
    if (arguments[0] == "serve") return serve();
    if (arguments[0] == "as_nobody" && geteuid() == 0 && setuid(65534) != 0) return 3;
    if (arguments[0] == "as_nobody" && arguments.at(2) == "verify")
      return Ledger::verify(std::filesystem::path(arguments[1])).ok ? 0 : 2;
    if (arguments[0] == "verify") {
      const VerifyReport report = Ledger::verify(LedgerLocation::parse(arguments.at(1)));
      for (const auto& each : report.findings) std::printf("%s\n", each.c_str());
      return report.ok ? 0 : 1;
    }
    const bool insist = arguments[0] == "insist";
    Ledger ledger = open(LedgerLocation::parse(arguments.at(1)), insist);
    if (arguments[0] == "reserve") ledger.reserve(entry_of(arguments.at(2)));
    if (arguments[0] == "charge" || insist) charge(ledger, arguments.at(2), std::stoi(arguments.at(3)), insist);
    if (arguments[0] == "release") ledger.release(arguments.at(2));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

}  // namespace sotto::accountants

int main(int count, char** words) {
  if (count > 2 && std::string(words[1]) == "--ledger-child")
    return sotto::accountants::child_main(std::vector<std::string>(words + 2, words + count));
  testing::InitGoogleTest(&count, words);
  return RUN_ALL_TESTS();
}
