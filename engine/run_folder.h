#pragma once
#include <filesystem>
#include <string>

#include "base/random_key.h"

namespace sotto {

// Where a run keeps its files. RUN/ may be released: model, certificate, report, noised state. RUN.operator/ (mode
// 0700) may not: the run key while the run lives, exact losses and batch sizes. docs/formats/run_folder.md lists both.
class RunFolder {
 public:
  explicit RunFolder(const std::filesystem::path& dir) : dir_(dir.lexically_normal()) {
    if (!dir_.has_filename()) dir_ = dir_.parent_path();
  }
  std::filesystem::path dir() const { return dir_; }
  std::filesystem::path operator_dir() const { return dir_.string() + ".operator"; }
  std::filesystem::path file(const std::string& name) const { return dir_ / name; }
  std::filesystem::path checkpoint() const { return dir_ / "checkpoint.safetensors"; }
  std::filesystem::path run_json() const { return dir_ / "run.json"; }
  std::filesystem::path metrics() const { return dir_ / "metrics.jsonl"; }
  std::filesystem::path operator_metrics() const { return operator_dir() / "metrics.jsonl"; }
  // Removes what a killed process left half-written beside its target.
  void remove_pieces() const;
  std::filesystem::path lock() const { return operator_dir() / "lock"; }
  std::filesystem::path norm_methods() const { return operator_dir() / "norm_methods.json"; }
  std::filesystem::path key() const { return operator_dir() / "run_key"; }

  // Makes both folders. Throws configuration when the run folder already holds a run: overwriting one would lose what
  // was paid for it.
  void create() const;
  bool holds_run() const { return std::filesystem::exists(run_json()); }

 private:
  std::filesystem::path dir_;
};

// What identifies a run across processes; written once, at its start.
struct RunIdentity {
  std::string run_id;         // 128 random bits
  std::string ledger;         // the ledger's path as configured
  std::string data_identity;  // of the data file, as the certificate names it
  bool fixed_seed = false;    // whether any part of the run drew from a fixed seed
};

// Holds a run folder for one process. Throws configuration while another one holds it.
class RunLock {
 public:
  explicit RunLock(const RunFolder& folder);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int file_;
};
void write_identity(const RunFolder& folder, const RunIdentity& identity);
RunIdentity read_identity(const RunFolder& folder);

}  // namespace sotto
