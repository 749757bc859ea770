#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cuda/device.h"
#include "engine/checkpoint.h"
#include "engine/trainer.h"

namespace sotto {
namespace {

namespace fs = std::filesystem;

// Five steps on the real table with a fixed seed; the parameters they end with.
std::map<std::string, at::Tensor> trained_on(const std::string& device, const fs::path& folder) {
  fs::create_directories(folder);
  const fs::path data = fs::path(SOTTO_SOURCE) / "datasets/diabetes130";
  std::ofstream(folder / "config.toml")
      << "[run]\ndir = \"" << (folder / "run").string() << "\"\nseed = 7\n[data]\npath = \""
      << (data / "diabetic_data.csv.gz").string() << "\"\nschema = \"" << (data / "schema.toml").string()
      << "\"\n[model]\nkind = \"mlp\"\nhidden = [32]\n[privacy]\nepsilon = 3.0\ndelta = 1e-5\nclip_norm = 1.0\n"
         "sample_rate = 0.01\npublic_size = 50000\n[train]\nsteps = 5\noptimizer = \"adam\"\nlearning_rate = 0.01\n"
         "[performance]\nthreads = 1\nplanner = \"shape\"\ndevice = \""
      << device << "\"\n[ledger]\npath = \"" << (folder / "ledger.sqlite").string() << "\"\n";
  Trainer trainer(TrainConfig::read(folder / "config.toml", {}), false, {});
  trainer.run();
  return read_checkpoint(folder / "run" / "checkpoint.safetensors").parameters;
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
