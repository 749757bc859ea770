#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "accountants/run_allotment.h"
#include "report/fields.h"

namespace sotto::report {

// Names for `not_covered` that the page explains; any other text is shown as it is.
inline constexpr const char* kTestMetrics = "test_metrics";
inline constexpr const char* kNonPrivateBaseline = "non_private_baseline";
inline constexpr const char* kHyperparameterSearch = "hyperparameter_search";
inline constexpr const char* kFloatingPointAttacks = "floating_point_attacks";
inline constexpr const char* kTimingAttacks = "timing_attacks";
// Names for `unsafe` that the page explains.
inline constexpr const char* kFixedSeed = "fixed_seed";
inline constexpr const char* kUnsafeGenerator = "unsafe_generator";
inline constexpr const char* kNoPrivacy = "no_privacy";

struct ModelCard {
  std::string kind;
  int64_t parameters = 0;
};

// `identity` is "sha256:<hex>" of the file, allowed only where the data set is public, or "commitment:<hex>": under a
// key that stays with the operator. `counts` (units or records by name) likewise only where it is public.
struct DatasetCard {
  std::string name, identity;
  bool is_public = false;
  std::string schema_hash, licence;
  std::map<std::string, int64_t> counts;
};

struct LedgerHead {
  int64_t id = 0;
  std::string head_hash;
};

// What a run claims about itself; docs/formats/certificate.md is its contract. Fields are only ever added.
struct Certificate {
  std::string sotto_version;
  std::vector<std::string> unsafe;  // names of the choices that void the guarantee
  // What the run spent; none where no finite bound holds, which `unsafe` must then explain.
  std::optional<double> epsilon;
  double epsilon_planned = 0;  // the run's allotment, a hard stop
  double delta = 0;
  std::vector<std::string> not_covered;
  std::string clipping = "flat";
  std::string noise_arithmetic, accountant, neighbouring_relation, unit_of_privacy, sampling;
  double noise_multiplier = 0, clip_norm = 0, l2_sensitivity = 0, sample_rate = 0;
  int64_t public_size = 0, steps = 0, steps_planned = 0;
  // Where epsilon_planned pays for fewer than steps_planned: the proof that these are too many.
  std::optional<accountants::RefusedSteps> refused;
  std::map<std::string, double> metrics;  // test_auc, …; empty where the run was not evaluated
  DatasetCard dataset;
  ModelCard model;
  std::string ledger;  // where the ledger is, as the config named it
  LedgerHead ledger_row;

  bool is_private() const { return unsafe.empty(); }
};

// Throws data, naming `place` and the field, unless every number is finite and in its range, every name is one the
// format knows, epsilon ≤ epsilon_planned, steps ≤ steps_planned, and nothing private is told (see DatasetCard).
void check(const Certificate& certificate, const std::string& place = "certificate");

// from_json(to_json(c)) is c to the last bit. Both check. Unknown fields are ignored: a later version may add some.
Json to_json(const Certificate& certificate);
Certificate certificate_from_json(const Json& object, const std::string& place = "certificate");

void write_certificate(const std::filesystem::path& path, const Certificate& certificate);
Certificate read_certificate(const std::filesystem::path& path);

}  // namespace sotto::report
