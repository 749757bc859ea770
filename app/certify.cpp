#include "app/certify.h"

#include "base/error.h"
#include "engine/predict.h"
#include "kernels/noise/truncation.h"
#include "report/numbers.h"

namespace sotto::app {

std::optional<report::Evaluations> evaluate_run(const Trainer& trainer, const Model* baseline) {
  const Dataset& test = trainer.test_set();
  if (!test.labels.defined()) return std::nullopt;
  const int64_t positives = test.labels.sum().item<int64_t>();
  if (positives == 0 || positives == test.size()) return std::nullopt;
  std::vector<uint8_t> labels(static_cast<size_t>(test.size()));
  for (int64_t i = 0; i < test.size(); ++i)
    labels[static_cast<size_t>(i)] = static_cast<uint8_t>(test.labels.const_data_ptr<int64_t>()[i]);
  report::Evaluations evaluations = {report::evaluate(predict(trainer.model(), test.inputs), labels), std::nullopt};
  if (baseline) evaluations.baseline = report::evaluate(predict(*baseline, test.inputs), labels);
  return evaluations;
}

report::Certificate certify(const Trainer& trainer, const TrainResult& result,
                            const std::optional<report::Evaluations>& evaluations) {
  const TrainConfig& config = trainer.config();
  const data::Schema& schema = trainer.schema();
  report::Certificate c;
  c.sotto_version = SOTTO_VERSION;
  if (trainer.fixed_seed()) c.unsafe.push_back(report::kFixedSeed);
  if (config.privacy.predictable()) c.unsafe.push_back(report::kUnsafeGenerator);
  c.epsilon = result.epsilon;
  c.epsilon_planned = config.privacy.epsilon;
  c.delta = config.privacy.delta;
  c.not_covered = {report::kHyperparameterSearch, report::kTimingAttacks};
  if (config.privacy.on_lattice()) {
    c.noise_arithmetic =
        "discrete Gaussian on int64 sums of integers, by rejection in 128-bit integers from ChaCha20, within 2^-119 of "
        "exact";
  } else {
    c.not_covered.insert(c.not_covered.begin() + 1, report::kFloatingPointAttacks);
    c.noise_arithmetic =
        cat("float32 Box-Muller from 64-bit ", config.privacy.predictable() ? "Philox4x32-10" : "ChaCha20",
            " uniforms, cut at 9.419 standard deviations");
  }
  c.accountant = config.privacy.accountant;
  c.neighbouring_relation = accountants::to_string(config.privacy.relation);
  c.unit_of_privacy = config.privacy.unit_of_privacy;
  c.sampling = "poisson";
  c.noise_multiplier = config.privacy.noise_multiplier;
  c.clip_norm = config.privacy.clip_norm;
  const ClippingConfig& clipping = config.privacy.clipping;
  c.clipping = clipping.rule;
  if (clipping.groups == "layer") c.clipping += " by layer";
  if (clipping.adaptive()) c.clipping += " at quantile " + report::exact(clipping.quantile);
  c.l2_sensitivity = trainer.plan().clipping().l2_sensitivity();
  c.sample_rate = config.privacy.sample_rate;
  c.public_size = config.privacy.public_size;
  c.steps = static_cast<int64_t>(result.charged_steps);
  c.steps_planned = config.privacy.steps;
  c.refused = result.refused;
  if (evaluations) {
    c.not_covered.push_back(report::kTestMetrics);
    c.metrics = {{"test_auc", evaluations->model.auc},
                 {"test_average_precision", evaluations->model.average_precision},
                 {"test_log_loss", evaluations->model.log_loss},
                 {"test_brier", evaluations->model.brier}};
    if (evaluations->baseline) {
      c.not_covered.push_back(report::kNonPrivateBaseline);
      c.metrics["baseline_test_auc"] = evaluations->baseline->auc;
    }
  }
  c.dataset = {schema.name, trainer.data_identity(), schema.public_file, schema.hash, schema.licence, {}};
  if (schema.public_file)
    c.dataset.counts = {{"train_units", trainer.train_set().size()}, {"test_units", trainer.test_set().size()}};
  c.model = {config.model.kind, trainer.parameters().elements()};
  c.ledger = config.ledger.path.text();
  c.ledger_row = {result.ledger_row.id, result.ledger_row.hash};
  return c;
}

}  // namespace sotto::app
