#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "base/error.h"
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

// LibTorch's allocator of the CPU, which from a call of below() on has no more than that at once for anybody: what it
// throws then is what it throws on a machine whose memory is full.
class ScarceMemory : public c10::Allocator {
 public:
  static void below(size_t bytes) {
    static ScarceMemory memory;
    g_most = bytes;
  }
  static void plenty() { g_most = SIZE_MAX; }

  c10::DataPtr allocate(size_t bytes) override { return inner_->allocate(bytes > g_most ? size_t{1} << 60 : bytes); }
  c10::DeleterFnPtr raw_deleter() const override { return inner_->raw_deleter(); }
  void copy_data(void* to, const void* from, std::size_t count) const override { default_copy_data(to, from, count); }

 private:
  ScarceMemory() : inner_(c10::GetCPUAllocator()) { c10::SetCPUAllocator(this, 1); }
  c10::Allocator* inner_;
  static inline std::atomic<size_t> g_most{SIZE_MAX};
};

// Of five steps by micro-batches of 400 of some 560 units, with memory for fewer than 100 in the second and third.
struct Scarce {
  std::string said;
  TrainHooks hooks;
  Scarce() {
    hooks.say = [this](const std::string& line) { said += line + "\n"; };
    hooks.on_step = [](const StepReport& step) {
      if (step.step == 1) ScarceMemory::below(100'000);
      if (step.step >= 3) ScarceMemory::plenty();
    };
  }
  ~Scarce() { ScarceMemory::plenty(); }
};
const std::vector<std::string> kLargeMicrobatch = {"performance.microbatch=400", "run.evaluate_every=5"},
                               kHalving = {"performance.microbatch=400", "run.evaluate_every=5",
                                           "performance.auto_microbatch=true"};

TEST(TrainerMemory, WhatRunsOutIsGotByHalvingTheMicrobatchForTheSameCharge) {
  const fs::path folder = fs::path(testing::TempDir()) / "trainer_memory";
  fs::remove_all(folder);
  const auto run = [&](const std::string& name, TrainHooks hooks, const std::vector<std::string>& overrides) {
    Trainer trainer(config_in(folder / name, "cpu", overrides), false, hooks);
    const TrainResult result = trainer.run();
    EXPECT_EQ(result.status, RunStatus::completed);
    EXPECT_EQ(result.charged_steps, 5u);
    EXPECT_EQ(result.steps, 5u);
    return std::pair(read_checkpoint(folder / name / "run" / "checkpoint.safetensors"), result.epsilon);
  };
  const auto [plenty, epsilon] = run("plenty", {}, kLargeMicrobatch);
  Scarce scarce;
  const auto [halved, spent] = run("scarce", scarce.hooks, kHalving);
  EXPECT_NE(scarce.said.find("step 2 ran out of memory with 400 units at once (it asked for 1152921504606846976 bytes)"),
            std::string::npos)
      << scarce.said;
  EXPECT_NE(scarce.said.find("going on with 50\n"), std::string::npos) << scarce.said;
  EXPECT_EQ(spent, epsilon);
  // The same units and noise but for its scale: more micro-batches round more, and the bound on that, a part in ten
  // thousand, is in the sensitivity. Another draw would be 0.02 off.
  for (const auto& [name, values] : plenty.parameters)
    EXPECT_TRUE(halved.parameters.at(name).allclose(values, 0, 1e-3)) << name;
  EXPECT_NE(halved.replay_hash, plenty.replay_hash);
  fs::remove_all(folder);
}

TEST(TrainerMemory, WhatRunsOutEndsTheRunWithACheckpointAndTheWayOut) {
  const fs::path folder = fs::path(testing::TempDir()) / "trainer_no_memory";
  fs::remove_all(folder);
  {
    Scarce scarce;
    Trainer trainer(config_in(folder, "cpu", kLargeMicrobatch), false, scarce.hooks);
    try {
      trainer.run();
      ADD_FAILURE() << "there was no memory";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::configuration);
      EXPECT_NE(std::string(error.what()).find("performance.microbatch=200"), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("--auto-microbatch"), std::string::npos) << error.what();
    }
    EXPECT_EQ(read_checkpoint(folder / "run" / "checkpoint.safetensors").next_step, 1u);
  }
  Scarce scarce;
  Trainer resumed(config_in(folder, "cpu", {"performance.microbatch=50", "run.evaluate_every=5"}), true, scarce.hooks);
  const TrainResult result = resumed.run();
  EXPECT_EQ(result.charged_steps, 5u);
  EXPECT_NE(scarce.said.find("steps 2 to 2 were charged"), std::string::npos) << scarce.said;
  fs::remove_all(folder);
}

TEST(TrainerMemory, LostStepsAreNotMadeAgainByOtherMicrobatches) {
  const fs::path folder = fs::path(testing::TempDir()) / "trainer_lost_memory";
  fs::remove_all(folder);
  {
    TrainHooks hooks;
    hooks.on_step = [](const StepReport& step) {
      if (step.step == 3) throw std::runtime_error("the machine went down");
    };
    Trainer trainer(config_in(folder, "cpu", kHalving), false, hooks);
    EXPECT_THROW(trainer.run(), std::runtime_error);
    EXPECT_EQ(read_checkpoint(folder / "run" / "checkpoint.safetensors").next_step, 0u);
  }
  Scarce scarce;
  Trainer resumed(config_in(folder, "cpu", kHalving), true, scarce.hooks);
  EXPECT_EQ(scarce.said.find("cannot be repeated"), std::string::npos) << "they could, with memory: " << scarce.said;
  const std::string key_before = read_checkpoint(folder / "run" / "checkpoint.safetensors").key_id;
  const TrainResult result = resumed.run();
  EXPECT_NE(scarce.said.find("steps 2 to 3 were charged"), std::string::npos) << "step 1 was repeated: " << scarce.said;
  EXPECT_EQ(result.charged_steps, 5u);
  EXPECT_NE(read_checkpoint(folder / "run" / "checkpoint.safetensors").key_id, key_before);
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
