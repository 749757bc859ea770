#include "report/report.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "report/guarantee.h"
#include "report/page.h"
#include "report/run_folder.h"

namespace sotto::report {
namespace {

constexpr int64_t kFormatVersion = 1;

Json guarantee_to_json(const Certificate& c) {
  Json out{{"sentence", guarantee_sentence(c)}, {"private", c.is_private()}, {"delta", c.delta}};
  out["epsilon"] = c.epsilon ? Json(*c.epsilon) : Json(nullptr);
  if (!c.is_private()) return out;
  // Infinity is not JSON: beyond ε ≈ 709 the factor is left out.
  if (std::isfinite(std::exp(*c.epsilon))) out["odds_factor"] = std::exp(*c.epsilon);
  out["best_guess"] = best_guess(*c.epsilon, c.delta);
  out["rating"] = rating(*c.epsilon);
  out["belief"] = Json::array();
  for (const double before : {0.001, 0.01, 0.1, 0.5, 0.9}) {
    out["belief"].push_back({{"before", before}, {"after", belief_after(before, *c.epsilon)}});
  }
  return out;
}

Json twin(const RunFolder& run) {
  Json out;
  out["format_version"] = kFormatVersion;
  out["guarantee"] = guarantee_to_json(run.certificate);
  out["certificate"] = to_json(run.certificate);
  out["progress"] = Json::array();
  for (const ProgressPoint& point : run.progress) {
    Json& line = out["progress"].emplace_back(
        Json{{"step", point.step}, {"epsilon", point.epsilon}, {"learning_rate", point.learning_rate}});
    if (point.test_loss) line["test_loss"] = *point.test_loss;
    if (point.test_auc) line["test_auc"] = *point.test_auc;
  }
  if (run.evaluations) out["evaluation"] = to_json(*run.evaluations);
  out["ledger"] = Json::array();
  for (const LedgerLine& row : run.ledger) {
    out["ledger"].push_back({{"id", row.id},
                             {"time", row.time},
                             {"kind", row.kind},
                             {"steps", row.steps},
                             {"epsilon", row.epsilon},
                             {"hash", row.hash}});
  }
  out["config"] = run.config;
  out["files"] = Json::object();
  for (const FileHash& file : run.files) out["files"][file.name] = file.sha256;
  return out;
}

}  // namespace

void write_report(const std::filesystem::path& path, bool with_operator) {
  const RunFolder run = read_run_folder(path);
  std::string exact;
  if (with_operator) {
    const std::vector<OperatorPoint> points = read_operator_metrics(path);
    exact = page(run, &points);
  }
  write_file(path / "report.json", dump(twin(run), 2) + "\n");
  write_file(path / "report.html", page(run));
  if (with_operator) write_file(operator_folder(path) / "report.html", exact, 0600);
}

}  // namespace sotto::report
