#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "report/fields.h"

namespace sotto::report {

struct Interval {
  double low = 0, high = 1;
};

// From (0, 0) to (1, 1), both not decreasing; one point a distinct score, thinned.
struct RocCurve {
  std::vector<double> false_positive_rate, true_positive_rate;
};

// By bin: mean predicted probability, share of positives, samples. Bins ascend in `predicted`.
struct Calibration {
  std::vector<double> predicted, observed;
  std::vector<int64_t> count;
};

struct Evaluation {
  int64_t count = 0, positives = 0;
  double auc = 0;
  Interval auc_interval;  // 95 %
  double average_precision = 0, log_loss = 0, brier = 0;
  RocCurve roc;
  Calibration calibration;
};

// The quality of predicted probabilities of the positive class against labels 0 and 1.
//   auc                P(score of a positive > of a negative) + ½ P(equal): Mann–Whitney, ties exact.
//   auc_interval       DeLong, DeLong & Clarke-Pearson (1988), in Sun & Xu's midranks; [0, 1] where a class has fewer
//                      than two samples, for then nothing is known of the spread.
//   average_precision  Σ (R_k − R_{k−1}) P_k over the distinct scores, from the highest.
//   log_loss           mean −log of the probability given to the truth, which counts as at least 2⁻⁵²: finite always.
//   roc                at most 400 points, each on the exact curve, both ends kept.
//   calibration        10 bins of equal size in the order of the scores; equal scores share a bin.
// Throws invalid_argument unless the sizes agree and every label is 0 or 1; data unless every probability is within
// [0, 1] and both classes occur.
Evaluation evaluate(std::span<const double> probabilities, std::span<const uint8_t> labels);

// evaluation.json: the run's model, and beside it the baseline that was trained without privacy, if there was one.
struct Evaluations {
  Evaluation model;
  std::optional<Evaluation> baseline;
};

Json to_json(const Evaluations& evaluations);
Evaluations evaluations_from_json(const Json& object, const std::string& place);
void write_evaluations(const std::filesystem::path& path, const Evaluations& evaluations);
Evaluations read_evaluations(const std::filesystem::path& path);

}  // namespace sotto::report
