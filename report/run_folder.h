#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "report/certificate.h"
#include "report/evaluation.h"

namespace sotto::report {

// One line of RUN/metrics.jsonl: public numbers.
struct ProgressPoint {
  int64_t step;
  double epsilon;
  double learning_rate;
  std::optional<double> test_loss, test_auc;
};

// One line of RUN.operator/metrics.jsonl: exact numbers of the training data. Not releasable.
struct OperatorPoint {
  int64_t step;
  double loss;
  int64_t batch_size;
  double clipped_fraction;
  int64_t non_finite;
  std::optional<double> samples_per_second;
};

// A row of the ledger as RUN/ledger.json excerpts it. `time` is RFC 3339, `steps` the highest step charged.
struct LedgerLine {
  int64_t id;
  std::string time, kind;
  int64_t steps;
  double epsilon;
  std::string hash;
};

struct FileHash {
  std::string name, sha256;
};

// A run folder as docs/formats/run_folder.md describes it.
struct RunFolder {
  std::filesystem::path path;
  std::string config;  // as run, TOML
  Certificate certificate;
  std::vector<ProgressPoint> progress;
  std::vector<LedgerLine> ledger;
  std::optional<Evaluations> evaluations;  // none where the certificate has no metrics
  std::string model_card;                  // model.toml; empty where the run left no model
  std::vector<FileHash> files;             // every file a reader may want to compare, by name
};

// RUN → RUN.operator, whether or not RUN ends with a slash.
std::filesystem::path operator_folder(const std::filesystem::path& run);

// Reads and cross-checks: epsilon never falls from step to step and stays within the certificate's, the certified
// ledger row is among the excerpt with its hash, the two AUCs are one, exact metrics appear only where `not_covered`
// lists them. Throws io or data with the file's name (and line). Where a step appears twice (a resumed run wrote it
// again) the later line counts.
RunFolder read_run_folder(const std::filesystem::path& run);
std::vector<OperatorPoint> read_operator_metrics(const std::filesystem::path& run);

void write_ledger_excerpt(const std::filesystem::path& path, const std::vector<LedgerLine>& rows);

}  // namespace sotto::report
