#include "accountants/ledger/new_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/fault_point.h"

namespace sotto::accountants {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const char* way_out) {
  throw Error(ErrorKind::io,
              cat("cannot create the ledger ", path.string(), ": ", std::strerror(errno), "; ", way_out));
}

void sync(const std::filesystem::path& path, int flags) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
  if (file < 0 || ::fsync(file) != 0) {
    const int reason = errno;
    if (file >= 0) ::close(file);
    errno = reason;
    fail(path, "check the disk");
  }
  ::close(file);
}

// With the log files that reading it may have left.
void discard(const std::filesystem::path& path) {
  for (const char* suffix : {"", "-wal", "-shm"}) ::unlink((path.string() + suffix).c_str());
}

}  // namespace

bool put_in_place(const std::filesystem::path& path, const std::function<void(const std::filesystem::path&)>& fill) {
  const std::filesystem::path unfinished = path.string() + ".new." + std::to_string(::getpid());
  discard(unfinished);
  // Who ran what on which data is nobody else's business; SQLite gives its log files the same mode.
  const int file = ::open(unfinished.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0) fail(path, "its folder must exist and be writable: create it or change ledger.path");
  ::close(file);
  bool placed = false;
  try {
    fill(unfinished);
    sync(unfinished, 0);
    fault_point("ledger.create.before_link");
    placed = ::link(unfinished.c_str(), path.c_str()) == 0;
    if (!placed && errno != EEXIST) fail(path, "change ledger.path");
    fault_point("ledger.create.after_link");
  } catch (...) {
    discard(unfinished);
    throw;
  }
  discard(unfinished);
  sync(std::filesystem::absolute(path).parent_path(), O_DIRECTORY);
  return placed;
}

}  // namespace sotto::accountants
