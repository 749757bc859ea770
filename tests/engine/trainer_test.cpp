#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cuda/device.h"
#include "engine/checkpoint.h"
#include "engine/trainer.h"

namespace sotto {
namespace {

namespace fs = std::filesystem;

// Of five steps on the real table with a fixed seed; everything goes to `folder`.
TrainConfig config_in(const fs::path& folder, const std::string& device = "cpu", const std::vector<std::string>& overrides = {}) {
  fs::create_directories(folder);
  const fs::path data = fs::path(SOTTO_SOURCE) / "datasets/diabetes130";
  std::ofstream(folder / "config.toml")
      << "[run]\ndir = \"" << (folder / "run").string() << "\"\nseed = 7\n[data]\npath = \""
      << (data / "diabetic_data.csv.gz").string() << "\"\nschema = \"" << (data / "schema.toml").string()
      << "\"\n[model]\nkind = \"mlp\"\nhidden = [32]\n[privacy]\nepsilon = 3.0\ndelta = 1e-5\nclip_norm = 1.0\n"
         "sample_rate = 0.01\npublic_size = 50000\n[train]\nsteps = 5\noptimizer = \"adam\"\nlearning_rate = 0.01\n"
         "[performance]\nthreads = 1\nplanner = \"shape\"\ndevice = \""
      << device << "\"\n[ledger]\npath = \"" << (folder / "ledger.sqlite").string() << "\"\n";
  return TrainConfig::read(folder / "config.toml", overrides);
}

// The parameters that a run ends with.
std::map<std::string, at::Tensor> trained_on(const std::string& device, const fs::path& folder) {
  Trainer trainer(config_in(folder, device), false, {});
  trainer.run();
  return read_checkpoint(folder / "run" / "checkpoint.safetensors").parameters;
}

TEST(Trainer, CertifiesARowOfItsOwnWhileOthersWriteToTheLedger) {
  const fs::path folder = fs::path(testing::TempDir()) / "trainer_beside_others";
  fs::remove_all(folder);
  const TrainConfig config = config_in(folder);
  bool others_wrote = false;
  TrainHooks hooks;
  hooks.on_step = [&](const StepReport& step) {
    if (step.step < 3) return;
    auto ledger = accountants::Ledger::open_existing(folder / "ledger.sqlite");
    accountants::RunEntry other = ledger.run(ledger.run_ids().front())->entry;
    other.run_id = "other";
    ledger.reserve(other);
    ledger.charge("other", 1, 1);
    others_wrote = true;
  };
  hooks.interrupted = [&] { return others_wrote; };
  Trainer trainer(config, false, hooks);
  const TrainResult result = trainer.run();
  EXPECT_EQ(result.status, RunStatus::interrupted);
  const auto own = trainer.ledger().rows(result.run_id), all = trainer.ledger().rows();
  EXPECT_EQ(result.ledger_row, (accountants::Head{own.back().id, own.back().hash}));
  EXPECT_NE(result.ledger_row.id, all.back().id) << "the other run wrote nothing behind it";
  EXPECT_TRUE(accountants::Ledger::verify(trainer.ledger().location(), result.ledger_row).ok);
  fs::remove_all(folder);
}

TEST(Trainer, PrecisionIsOfTheProductsAloneAndMovesNoGuarantee) {
  const fs::path folder = fs::path(testing::TempDir()) / "trainer_precision";
  fs::remove_all(folder);
  struct Run {
    std::map<std::string, at::Tensor> parameters;
    accountants::RunEntry entry;
    double epsilon;
    std::string said;
  };
  const auto run = [&](const std::string& name, const std::string& precision) {
    Run made;
    TrainHooks hooks;
    hooks.say = [&](const std::string& line) { made.said += line + "\n"; };
    Trainer trainer(config_in(folder / name, "cpu", {"performance.precision=" + precision}), false, hooks);
    const TrainResult result = trainer.run();
    made.epsilon = result.epsilon;
    made.entry = trainer.ledger().run(result.run_id)->entry;
    made.parameters = read_checkpoint(folder / name / "run" / "checkpoint.safetensors").parameters;
    return made;
  };
  const Run wide = run("wide", "float32"), narrow = run("narrow", "bfloat16"), again = run("again", "bfloat16");
  EXPECT_EQ(narrow.entry.privacy_hash, wide.entry.privacy_hash);
  EXPECT_EQ(narrow.entry.event, wide.entry.event);
  EXPECT_EQ(narrow.epsilon, wide.epsilon);
  EXPECT_EQ(wide.said.find("bfloat16"), std::string::npos);
  EXPECT_NE(narrow.said.find("bfloat16"), std::string::npos) << narrow.said;
  int64_t differ = 0;
  for (const auto& [name, values] : narrow.parameters) {
    EXPECT_EQ(values.scalar_type(), at::kFloat) << "what is trained stays float32";
    EXPECT_TRUE(values.equal(again.parameters.at(name))) << name << ": the same key, the same bits";
    differ += !values.equal(wide.parameters.at(name));
  }
  EXPECT_GT(differ, 0) << "nothing was computed in bfloat16";
  fs::remove_all(folder);
}

TEST(TrainerCuda, TakesTheStepsOfTheCpu) {
  if (!cuda_present()) GTEST_SKIP() << "no CUDA device on this machine";
  const fs::path folder = fs::path(testing::TempDir()) / "trainer_cuda";
  fs::remove_all(folder);
  const auto host = trained_on("cpu", folder / "cpu"), device = trained_on("cuda", folder / "cuda");
  ASSERT_EQ(host.size(), device.size());
  // The same units, the same noise; gradients that are summed in another order. Adam's first steps move an entry by the
  // learning rate whatever its size, so that an entry whose gradient rounds to another sign differs by at most
  // 2 · 5 · 0.01; all but a few entries agree.
  for (const auto& [name, values] : host) {
    const at::Tensor away = (values - device.at(name)).abs();
    EXPECT_LE(away.max().item<double>(), 0.1) << name;
    EXPECT_LE(away.mean().item<double>(), 1e-4) << name;
    EXPECT_GT(values.abs().max().item<double>(), 0) << name;
  }
  fs::remove_all(folder);
}

}  // namespace
}  // namespace sotto
