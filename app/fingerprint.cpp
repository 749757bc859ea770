#include "app/fingerprint.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "app/command.h"
#include "base/error.h"
#include "base/hash.h"
#include "engine/trainer.h"
#include "kernels/noise/draw.h"

namespace sotto::app {
namespace {

void restart_on_plain_paths(const std::string& config, bool json) {
  if (std::getenv("SOTTO_FINGERPRINT")) return;
  setenv("SOTTO_FINGERPRINT", "1", 1);
  setenv("ATEN_CPU_CAPABILITY", "default", 1);
  setenv("MKL_CBWR", "COMPATIBLE", 1);
  execl("/proc/self/exe", "sotto", "train", config.c_str(), "--fingerprint", json ? "--json" : nullptr, nullptr);
  throw Error(ErrorKind::internal, "cannot start the program again");
}

const char* instruction_set() {
  switch (best_instruction_set()) {
    case InstructionSet::avx512:
      return "avx512";
    case InstructionSet::avx2:
      return "avx2";
    default:
      return "plain";
  }
}

std::string hash_of(const Trainer& trainer, const std::string& run_id) {
  std::string bytes = trainer.plan().hash();
  for (const auto& [name, tensor] : trainer.model().named_parameters()) {
    const at::Tensor plain = tensor.detach().contiguous();
    bytes += name;
    bytes.append(static_cast<const char*>(plain.const_data_ptr()), plain.nbytes());
  }
  for (const accountants::LedgerRow& row : trainer.ledger().rows(run_id)) {
    const Json payload = Json::parse(row.payload);  // without who, when and which run
    if (row.kind == "charge") bytes += cat(payload.at("first_step"), payload.at("last_step"), payload.at("epsilon"));
  }
  return to_hex(sha256(bytes));
}

}  // namespace

int print_fingerprint(const std::string& config, bool json) {
  restart_on_plain_paths(config, json);
  const std::filesystem::path scratch = std::filesystem::temp_directory_path() / cat("sotto-fingerprint-", getpid());
  std::filesystem::create_directory(scratch);
  std::string hash;
  try {
    Trainer trainer(
        TrainConfig::read(config, {"run.seed=0", "train.steps=20", "privacy.accountant=rdp", "performance.threads=1",
                                   "performance.microbatch=512", "performance.planner=shape", "run.evaluate_every=20",
                                   cat("run.dir=", (scratch / "run").string()),
                                   cat("ledger.path=", (scratch / "ledger.sqlite").string())}),
        false, {});
    hash = hash_of(trainer, trainer.run().run_id);
  } catch (...) {
    std::filesystem::remove_all(scratch);
    throw;
  }
  std::filesystem::remove_all(scratch);
  print(json, {{"fingerprint", hash}, {"instruction_set", instruction_set()}}, cat(hash, "  ", instruction_set()));
  return 0;
}

}  // namespace sotto::app
