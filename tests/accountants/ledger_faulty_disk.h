#pragma once
#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace sotto::accountants {

// A disk under SQLite (a VFS over the real one, the default while this object lives) that fails at a chosen write and
// keeps what was synced apart from what was only written. One at a time.
class FaultyDisk {
 public:
  enum class Fault { power_cut, full };
  // The `at`-th write, truncation or deletion (1 is the first) fails, and everything after it: with power_cut for ever,
  // with full until free_space().
  FaultyDisk(Fault fault, int at);
  ~FaultyDisk();
  FaultyDisk(const FaultyDisk&) = delete;

  bool failed() const { return failed_; }
  void free_space() { at_ = 0, failed_ = false; }

  // What the files hold when the power is back: all that was synced, and of the blocks of 512 bytes written since,
  // none, all, or each or not by chance. Call it when nothing has the files open.
  enum class Unsynced { lost, kept, by_chance };
  void restart(Unsynced unsynced, std::mt19937& rng);

  // For the VFS alone.
  struct Write {
    int64_t offset;
    std::string bytes;
    bool truncates = false;
  };
  struct File {
    std::string durable;
    std::vector<Write> unsynced;
  };
  int arrive();  // at a write: SQLITE_OK or the fault's code
  std::map<std::string, File>& files() { return files_; }

 private:
  Fault fault_;
  int at_;
  bool failed_ = false;
  std::map<std::string, File> files_;
};

}  // namespace sotto::accountants
