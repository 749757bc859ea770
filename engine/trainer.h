#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "accountants/ledger.h"
#include "engine/checkpoint.h"
#include "engine/dataset.h"
#include "engine/metrics_log.h"
#include "engine/model.h"
#include "engine/optimizer.h"
#include "engine/privacy_plan.h"
#include "engine/private_step.h"
#include "engine/run_folder.h"
#include "engine/site.h"
#include "engine/tape/tape.h"
#include "engine/train_config.h"

namespace sotto {

enum class RunStatus { completed, budget_exhausted, interrupted };

struct StepReport {
  uint64_t step;  // completed
  int64_t steps;
  StepDiagnostics diagnostics;  // operator's eyes only
  double epsilon, epsilon_allowed;
};

// How a run talks to whoever started it.
struct TrainHooks {
  std::function<void(const StepReport&)> on_step = [](const StepReport&) {};
  std::function<void(const std::string&)> say = [](const std::string&) {};
  std::function<bool()> interrupted = [] { return false; };
};

struct TrainResult {
  RunStatus status;
  uint64_t steps = 0;          // in the model
  uint64_t charged_steps = 0;  // in the ledger
  double epsilon = 0;          // certified: what was spent, or the allotment when a person chose when to stop
  std::string run_id;
  accountants::Head ledger_row;                           // the run's last
  std::optional<accountants::RefusedSteps> refused = {};  // why it was given fewer steps than planned, if it was
};

// A private training run from config to checkpoint: everything around the private step that makes it durable.
// Throws before the first charge when config, data and model do not fit together.
class Trainer {
 public:
  Trainer(TrainConfig config, bool resume, TrainHooks hooks);

  TrainResult run();

  const TrainConfig& config() const { return config_; }
  const PrivacyPlan& plan() const { return *plan_; }
  const Model& model() const { return model_; }
  const data::Schema& schema() const { return schema_; }
  const Parameters& parameters() const { return *parameters_; }
  const Dataset& test_set() const { return test_; }
  const Dataset& train_set() const { return train_; }
  const accountants::Ledger& ledger() const { return *ledger_; }
  const data::LoadReport& load_report() const { return load_report_; }
  // The data file's SHA-256 where the schema declares it public, else a commitment under the run key.
  const std::string& data_identity() const { return identity_.data_identity; }
  bool fixed_seed() const { return identity_.fixed_seed; }
  const RunFolder& folder() const { return folder_; }
  int threads() const { return site_.exec.threads(); }

 private:
  void load_data();
  void make_model();
  void choose_norm_methods();
  void start();
  void reserve();
  void restore();
  void leave_lost_steps(const std::string& why);
  void refuse_another_run(const accountants::RunEntry& entry) const;
  void charge(uint64_t step);
  void save_checkpoint();
  void log(const StepDiagnostics& diagnostics, double seconds);
  TrainResult finish(RunStatus status);
  GradSamples gradients(const std::vector<int64_t>& units);
  std::unique_ptr<PrivateStep> make_step();
  void record_passes(PrivateStep& step);
  // None where memory ran out and the micro-batch was halved, in another `step`.
  std::optional<PrivateGradient> next_gradient(std::unique_ptr<PrivateStep>& step);
  void halve_microbatch(const std::exception& failure);
  std::string replay_hash() const;
  double spent(uint64_t steps) const;

  TrainConfig config_;
  TrainHooks hooks_;
  RunFolder folder_;
  RunIdentity identity_;
  std::unique_ptr<RunLock> lock_;
  bool resume_;
  Site site_;
  data::Schema schema_;
  data::Encoding encoding_ = data::Encoding::numbers;
  data::LoadReport load_report_;
  std::string data_hash_;
  Dataset train_, test_;
  RunKey key_;
  Model model_;
  std::unique_ptr<Parameters> parameters_;
  ModelStructure structure_;
  std::unique_ptr<PrivacyPlan> plan_;
  std::unique_ptr<Tape> tape_;
  std::string norm_methods_;  // as JSON: what decides the last bits of norms and sums
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<accountants::Ledger> ledger_;
  std::unique_ptr<MetricsLog> metrics_, operator_metrics_;
  bool closed_ = false;              // the ledger has released the run: it is over
  std::optional<double> clip_norm_;  // of the next step, where it is adaptive
  uint64_t step_ = 0;                // completed steps
  uint64_t charged_ = 0;             // steps that the ledger holds a charge for
  uint64_t lost_until_ = 0;          // steps below it were made before this process, and are made again to the bit
  double epsilon_ = 0;               // after charged_
};

}  // namespace sotto
