#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "report/evaluation.h"

namespace sotto::report {
namespace {

constexpr int64_t kFormatVersion = 1;

Json to_json(const Evaluation& e) {
  Json out;
  out["count"] = e.count;
  out["positives"] = e.positives;
  out["auc"] = e.auc;
  out["auc_interval"] = {e.auc_interval.low, e.auc_interval.high};
  out["average_precision"] = e.average_precision;
  out["log_loss"] = e.log_loss;
  out["brier"] = e.brier;
  out["roc"]["false_positive_rate"] = e.roc.false_positive_rate;
  out["roc"]["true_positive_rate"] = e.roc.true_positive_rate;
  out["calibration"]["predicted"] = e.calibration.predicted;
  out["calibration"]["observed"] = e.calibration.observed;
  out["calibration"]["count"] = e.calibration.count;
  return out;
}

Evaluation from_fields(const Fields& in) {
  Evaluation e;
  e.count = in.integer("count");
  e.positives = in.integer("positives");
  e.auc = in.number("auc");
  const std::vector<double> interval = in.numbers("auc_interval");
  if (interval.size() != 2) in.fail("auc_interval", cat("must hold two numbers and holds ", interval.size()));
  e.auc_interval = {interval[0], interval[1]};
  e.average_precision = in.number("average_precision");
  e.log_loss = in.number("log_loss");
  e.brier = in.number("brier");
  const Fields roc = in.object("roc"), calibration = in.object("calibration");
  e.roc = {roc.numbers("false_positive_rate"), roc.numbers("true_positive_rate")};
  e.calibration = {calibration.numbers("predicted"), calibration.numbers("observed"), calibration.integers("count")};
  if (e.roc.true_positive_rate.size() != e.roc.false_positive_rate.size()) {
    roc.fail("true_positive_rate", "is not as long as false_positive_rate");
  }
  if (e.calibration.predicted.size() != e.calibration.observed.size() ||
      e.calibration.predicted.size() != e.calibration.count.size()) {
    calibration.fail("count", "is not as long as predicted and observed");
  }
  return e;
}

}  // namespace

Json to_json(const Evaluations& evaluations) {
  Json out;
  out["format_version"] = kFormatVersion;
  out["private"] = to_json(evaluations.model);
  if (evaluations.baseline) out["baseline"] = to_json(*evaluations.baseline);
  return out;
}

Evaluations evaluations_from_json(const Json& object, const std::string& place) {
  const Fields in(object, place);
  if (in.integer("format_version") != kFormatVersion) {
    in.fail("format_version", cat("is ", in.integer("format_version"), "; this program reads ", kFormatVersion));
  }
  Evaluations out{from_fields(in.object("private")), std::nullopt};
  if (in.has("baseline")) out.baseline = from_fields(in.object("baseline"));
  return out;
}

void write_evaluations(const std::filesystem::path& path, const Evaluations& evaluations) {
  write_file(path, dump(to_json(evaluations)) + "\n");
}

Evaluations read_evaluations(const std::filesystem::path& path) {
  return evaluations_from_json(read_object(path), path.string());
}

}  // namespace sotto::report
