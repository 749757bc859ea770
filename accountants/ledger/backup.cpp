#include "accountants/ledger/backup.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "accountants/ledger.h"
#include "accountants/ledger/database.h"
#include "base/error.h"
#include "base/fault_point.h"

namespace sotto::accountants {
namespace {

[[noreturn]] void fail(const std::filesystem::path& to, const std::string& reason) {
  throw Error(ErrorKind::io, cat("cannot write the copy ", to.string(), ": ", reason));
}

void sync(const std::filesystem::path& path, int flags) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
  const bool synced = file >= 0 && ::fsync(file) == 0;
  const int reason = errno;
  if (file >= 0) ::close(file);
  if (!synced) fail(path, std::strerror(reason));
}

}  // namespace

void back_up(const std::filesystem::path& ledger, const std::filesystem::path& to) {
  const bool there = std::filesystem::exists(to);
  if (there || has_log(to))
    throw Error(ErrorKind::io, cat(to.string(), there ? "" : "-wal",
                                   " is already there; a copy never goes over a file, which might hold charges that "
                                   "the copy does not: name another, or move that one away"));
  Ledger::open_existing(ledger);  // says what is wrong where it is no ledger, and takes over a log that a crash left
  const std::filesystem::path unfinished = to.string() + ".new." + std::to_string(::getpid());
  ::unlink(unfinished.c_str());
  const int file = ::open(unfinished.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0) fail(to, std::strerror(errno));
  ::close(file);
  try {
    Database(ledger, Database::Access::read_only).copy_to(unfinished);
    sync(unfinished, 0);
    const VerifyReport found = Ledger::verify(unfinished);
    if (!found.ok)
      throw Error(ErrorKind::data,
                  cat(ledger.string(), " does not verify (", found.findings.front(), "); it was not copied"));
    fault_point("ledger.backup.before_link");
    if (::link(unfinished.c_str(), to.c_str()) != 0) fail(to, std::strerror(errno));
  } catch (...) {
    for (const char* suffix : {"", "-wal", "-shm"}) ::unlink((unfinished.string() + suffix).c_str());
    throw;
  }
  for (const char* suffix : {"", "-wal", "-shm"}) ::unlink((unfinished.string() + suffix).c_str());
  sync(std::filesystem::absolute(to).parent_path(), O_DIRECTORY);
}

}  // namespace sotto::accountants
