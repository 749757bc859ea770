#include "engine/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/random_key.h"

namespace sotto {

void RunFolder::create() const {
  if (holds_run())
    throw Error(ErrorKind::configuration, cat(dir_.string(),
                                              " already holds a run; continue it with --resume, or choose "
                                              "another folder with --set run.dir=DIR"));
  make_folder(dir_);
  make_folder(operator_dir(), 0700);
  std::filesystem::permissions(operator_dir(), std::filesystem::perms::owner_all);
}

void RunFolder::remove_pieces() const {
  for (const auto& folder : {dir_, operator_dir()})
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      if (entry.path().extension() == ".part") destroy_file(entry.path());  // one may be of the run key
}

RunLock::RunLock(const RunFolder& folder) : file_(::open(folder.lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
  if (file_ < 0) throw Error(ErrorKind::io, cat("cannot open ", folder.lock().string(), "; is the folder yours?"));
  if (::flock(file_, LOCK_EX | LOCK_NB) == 0) return;
  ::close(file_);
  throw Error(ErrorKind::configuration,
              cat("another process is at work on ", folder.dir().string(), "; wait for it or stop it"));
}

RunLock::~RunLock() {
  ::close(file_);
}

void write_identity(const RunFolder& folder, const RunIdentity& identity) {
  const nlohmann::json object = {{"format_version", 1},
                                 {"run_id", identity.run_id},
                                 {"ledger", identity.ledger},
                                 {"data_identity", identity.data_identity},
                                 {"fixed_seed", identity.fixed_seed}};
  write_file(folder.run_json(), object.dump(2) + "\n");
}

RunIdentity read_identity(const RunFolder& folder) {
  if (!folder.holds_run())
    throw Error(ErrorKind::configuration,
                cat("there is no run in ", folder.dir().string(), " to resume; start one without --resume"));
  try {
    const auto object = nlohmann::json::parse(read_file(folder.run_json()));
    return {object.at("run_id"), object.at("ledger"), object.at("data_identity"), object.at("fixed_seed")};
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::data, cat(folder.run_json().string(), " is damaged: ", error.what()));
  }
}

}  // namespace sotto
