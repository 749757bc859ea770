#include "report/run_folder.h"

#include <toml++/toml.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"
#include "report/numbers.h"

namespace sotto::report {
namespace {

// Calls `take` on every complete line. A last line without its newline was cut by a crash and is not there yet.
void for_each_line(const std::filesystem::path& path, const std::function<void(const Fields&)>& take) {
  const std::string content = read_file(path);
  size_t begin = 0;
  for (int64_t line = 1;; ++line) {
    const size_t end = content.find('\n', begin);
    if (end == std::string::npos) return;
    const std::string place = cat(path.string(), ":", line);
    const Json object = parse_object(content.substr(begin, end - begin), place);
    take(Fields(object, place));
    begin = end + 1;
  }
}

// A resumed run repeats the steps after its checkpoint: what they replace goes.
template <class Point>
void append(std::vector<Point>& points, const Point& point) {
  while (!points.empty() && points.back().step >= point.step) points.pop_back();
  points.push_back(point);
}

std::string read_toml(const std::filesystem::path& path) {
  std::string text = read_file(path);
  try {
    static_cast<void>(toml::parse(text));
  } catch (const toml::parse_error& error) {
    throw Error(ErrorKind::data, cat(path.string(), ":", error.source().begin.line,
                                     ": not valid TOML: ", std::string(error.description())));
  }
  return text;
}

std::vector<ProgressPoint> read_progress(const std::filesystem::path& path, const Certificate& certificate) {
  std::vector<ProgressPoint> points;
  for_each_line(path, [&](const Fields& line) {
    const ProgressPoint point{line.integer("step"), line.number("epsilon"), line.number("learning_rate"),
                              line.number_or_none("test_loss"), line.number_or_none("test_auc")};
    append(points, point);
    if (points.size() > 1 && points[points.size() - 2].epsilon > point.epsilon) {
      line.fail("epsilon", cat("is ", exact(point.epsilon), " after ", exact(points[points.size() - 2].epsilon),
                               "; spent budget never falls"));
    }
    // The two are the same sum by two roads: a last bit may differ.
    if (certificate.epsilon && point.epsilon > *certificate.epsilon * (1 + 1e-9)) {
      line.fail("epsilon", cat("is ", exact(point.epsilon), ", more than the ", exact(*certificate.epsilon),
                               " that certificate.json certifies"));
    }
  });
  return points;
}

std::vector<LedgerLine> read_ledger(const std::filesystem::path& path, const LedgerHead& head) {
  const Json object = read_object(path);
  const Fields in(object, path.string());
  if (in.integer("format_version") != 1) in.fail("format_version", "must be 1");
  std::vector<LedgerLine> rows;
  bool found = false;
  for (const Fields& row : in.objects("rows")) {
    rows.push_back({row.integer("id"), row.text("time"), row.text("kind"), row.integer("steps"), row.number("epsilon"),
                    row.text("hash")});
    if (rows.back().id != head.id) continue;
    found = true;
    if (rows.back().hash != head.head_hash) {
      row.fail("hash", cat("is ", rows.back().hash, " but certificate.json certifies ", head.head_hash));
    }
  }
  if (!found) in.fail("rows", cat("has no row ", head.id, ", which certificate.json certifies"));
  return rows;
}

void check_told(const RunFolder& run, const std::string& name, const std::string& what) {
  const std::vector<std::string>& told = run.certificate.not_covered;
  if (std::find(told.begin(), told.end(), name) != told.end()) return;
  throw Error(ErrorKind::data, cat((run.path / "certificate.json").string(), ": field `not_covered` must list `", name,
                                   "`, since the run folder has ", what));
}

void check_same_auc(const RunFolder& run) {
  const auto told = run.certificate.metrics.find("test_auc");
  if (told == run.certificate.metrics.end() || told->second == run.evaluations->model.auc) return;
  throw Error(ErrorKind::data,
              cat((run.path / "evaluation.json").string(), ": field `private.auc` is ",
                  exact(run.evaluations->model.auc), " but certificate.json certifies ", exact(told->second)));
}

}  // namespace

std::filesystem::path operator_folder(const std::filesystem::path& run) {
  std::filesystem::path clean = run.lexically_normal();
  if (!clean.has_filename()) clean = clean.parent_path();
  return clean += ".operator";
}

RunFolder read_run_folder(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) {
    throw Error(ErrorKind::io, cat("no run folder ", path.string(), "; give the folder that a run wrote (run.dir)"));
  }
  RunFolder run;
  run.path = path;
  run.certificate = read_certificate(path / "certificate.json");
  run.config = read_toml(path / "config.toml");
  run.progress = read_progress(path / "metrics.jsonl", run.certificate);
  run.ledger = read_ledger(path / "ledger.json", run.certificate.ledger_row);
  if (!run.certificate.metrics.empty() || std::filesystem::exists(path / "evaluation.json")) {
    run.evaluations = read_evaluations(path / "evaluation.json");
    if (run.evaluations->baseline) check_told(run, kNonPrivateBaseline, "the metrics of a baseline");
    check_same_auc(run);
  }
  const bool tested = std::any_of(run.progress.begin(), run.progress.end(),
                                  [](const ProgressPoint& point) { return point.test_loss || point.test_auc; });
  if (run.evaluations || tested) check_told(run, kTestMetrics, "test metrics");
  if (std::filesystem::exists(path / "model.toml")) run.model_card = read_toml(path / "model.toml");
  for (const char* name : {"certificate.json", "config.toml", "evaluation.json", "ledger.json", "metrics.jsonl",
                           "model.safetensors", "model.toml"}) {
    if (std::filesystem::exists(path / name)) run.files.push_back({name, to_hex(sha256_file(path / name))});
  }
  return run;
}

std::vector<OperatorPoint> read_operator_metrics(const std::filesystem::path& run) {
  std::vector<OperatorPoint> points;
  for_each_line(operator_folder(run) / "metrics.jsonl", [&](const Fields& line) {
    append(points, OperatorPoint{line.integer("step"), line.number("loss"), line.integer("batch_size"),
                                 line.number("clipped_fraction"), line.integer("non_finite"),
                                 line.number_or_none("samples_per_second")});
  });
  return points;
}

void write_ledger_excerpt(const std::filesystem::path& path, const std::vector<LedgerLine>& rows) {
  Json out;
  out["format_version"] = 1;
  out["rows"] = Json::array();
  for (const LedgerLine& row : rows) {
    Json& line = out["rows"].emplace_back();
    line["id"] = row.id;
    line["time"] = row.time;
    line["kind"] = row.kind;
    line["steps"] = row.steps;
    line["epsilon"] = row.epsilon;
    line["hash"] = row.hash;
  }
  write_file(path, dump(out, 2) + "\n");
}

}  // namespace sotto::report
