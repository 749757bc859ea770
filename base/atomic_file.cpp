#include "base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "base/fault_point.h"

namespace sotto {
namespace {

[[noreturn]] void fail(const char* verb, const std::filesystem::path& path) {
  throw Error(ErrorKind::io, cat("cannot ", verb, " ", path.string(), ": ", std::strerror(errno)));
}

void write_all(int file, std::string_view content, const std::filesystem::path& path) {
  while (!content.empty()) {
    const ssize_t written = ::write(file, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write", path);
    content.remove_prefix(static_cast<size_t>(written));
  }
}

void sync_folder(const std::filesystem::path& folder) {
  const int file = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) fail("open", folder);
  ::fsync(file);
  ::close(file);
}

}  // namespace

void write_file(const std::filesystem::path& path, std::string_view content, unsigned mode) {
  const std::filesystem::path beside = cat(path.string(), ".", ::getpid(), ".part");
  const int file = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (file < 0) fail("create", beside);
  try {
    write_all(file, content, beside);
    if (::fsync(file) != 0) fail("sync", beside);
  } catch (...) {
    ::close(file);
    ::unlink(beside.c_str());
    throw;
  }
  ::close(file);
  fault_point("write_file.before_rename");
  if (::rename(beside.c_str(), path.c_str()) != 0) fail("rename onto", path);
  fault_point("write_file.after_rename");
  sync_folder(path.parent_path());
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream content;
  if (!in || std::filesystem::is_directory(path)) fail("read", path);
  content << in.rdbuf();
  return std::move(content).str();
}

void append_line(const std::filesystem::path& path, std::string_view line) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) fail("open", path);
  write_all(file, std::string(line) + "\n", path);
  ::close(file);
}

void make_folder(const std::filesystem::path& path, unsigned mode) {
  std::error_code error;
  if (std::filesystem::is_directory(path)) return;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
  if (error || (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST)) fail("create folder", path);
}

}  // namespace sotto
