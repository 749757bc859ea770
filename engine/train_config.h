#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "accountants/ledger/location.h"
#include "accountants/ledger/scope.h"
#include "base/settings.h"
#include "engine/model.h"
#include "engine/optimizer.h"
#include "engine/privacy_plan.h"

namespace sotto {

struct DataConfig {
  std::filesystem::path schema, path;
  std::string encoding = "numbers";  // numbers, tokens
  std::string train_split = "train", test_split = "test";
};

struct RunConfig {
  std::filesystem::path dir;
  std::optional<uint64_t> seed;  // fixes every key: reproducible, and unsafe
  int64_t checkpoint_every = 100;
  int64_t evaluate_every = 0;  // 0: only at the end
};

struct LedgerConfig {
  accountants::LedgerLocation path;
  int64_t block_steps = 1;  // steps charged in one durable row
  // What the run is for, for the grants that cover it. The data set is the schema's name.
  accountants::Scope scope;
  std::filesystem::path signing_key;  // empty: what SOTTO_LEDGER_KEY names
};

// A training run as its TOML file says, with --set overrides. docs/configuration.md describes every key.
struct TrainConfig {
  DataConfig data;
  RunConfig run;
  ModelSpec model;
  PrivacyConfig privacy;
  OptimizerConfig optimizer;
  PerformanceConfig performance;
  LedgerConfig ledger;
  std::string toml;  // as run: overrides applied, keys sorted, without the place of the signing key

  // Paths in [data] and [model] are relative to the file's folder, those in [run] and [ledger] to the working directory.
  // Throws configuration for unknown keys (with the nearest known one), wrong types and values out of range.
  static TrainConfig read(const std::filesystem::path& path, const std::vector<std::string>& overrides);
};

}  // namespace sotto
