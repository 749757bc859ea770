#pragma once
#include <optional>

#include "engine/trainer.h"
#include "report/certificate.h"
#include "report/evaluation.h"

namespace sotto::app {

// What may be said about a finished, stopped or interrupted run.
report::Certificate certify(const Trainer& trainer, const TrainResult& result,
                            const std::optional<report::Evaluations>& evaluations);

// The model's quality on the test split, and the baseline's beside it; nothing where the split is empty or unlabelled.
std::optional<report::Evaluations> evaluate_run(const Trainer& trainer, const Model* baseline);

}  // namespace sotto::app
