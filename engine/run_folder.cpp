#include "engine/run_folder.h"

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"

namespace sotto {

void RunFolder::create() const {
  if (holds_run())
    throw Error(ErrorKind::configuration, cat(dir_.string(), " already holds a run; continue it with --resume, or choose "
                                              "another folder with --set run.dir=DIR"));
  make_folder(dir_);
  make_folder(operator_dir(), 0700);
  std::filesystem::permissions(operator_dir(), std::filesystem::perms::owner_all);
}

void write_identity(const RunFolder& folder, const RunIdentity& identity) {
  const nlohmann::json object = {{"format_version", 1}, {"run_id", identity.run_id}, {"ledger", identity.ledger}};
  write_file(folder.run_json(), object.dump(2) + "\n");
}

RunIdentity read_identity(const RunFolder& folder) {
  if (!folder.holds_run())
    throw Error(ErrorKind::configuration, cat("there is no run in ", folder.dir().string(), " to resume; start one without --resume"));
  try {
    const auto object = nlohmann::json::parse(read_file(folder.run_json()));
    return {object.at("run_id"), object.at("ledger")};
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::data, cat(folder.run_json().string(), " is damaged: ", error.what()));
  }
}

}  // namespace sotto
