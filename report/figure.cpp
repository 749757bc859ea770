#include "report/figure.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "report/guarantee.h"
#include "report/numbers.h"

namespace sotto::report {
namespace {

constexpr size_t kTableRows = 40;  // enough to follow a curve; report.json has every point

Json axis(const std::string& title, const Json& range = nullptr, const std::string& format = "") {
  Json out{{"title", title}};
  if (!range.is_null()) out["range"] = range;
  if (!format.empty()) out["format"] = format;
  return out;
}

// Every row of a short table; of a long one evenly chosen rows, the last among them.
std::vector<std::vector<std::string>> thin(const std::vector<std::vector<std::string>>& rows) {
  if (rows.size() <= kTableRows) return rows;
  std::vector<std::vector<std::string>> out;
  for (size_t i = 0; i < kTableRows; ++i) out.push_back(rows[i * (rows.size() - 1) / (kTableRows - 1)]);
  return out;
}

Figure over_steps(const RunFolder& run, const std::string& id, const std::string& title, const std::string& what,
                  const std::function<std::optional<double>(const ProgressPoint&)>& value) {
  Figure out{id, title, what + " over training steps.", "", {}, {"step", what}, {}};
  Json x = Json::array(), y = Json::array();
  for (const ProgressPoint& point : run.progress) {
    if (!value(point)) continue;
    x.push_back(point.step);
    y.push_back(*value(point));
    out.rows.push_back({counted(point.step), rounded(*value(point), 4)});
  }
  out.rows = thin(out.rows);
  out.plot["traces"] = Json::array({trace(what, "run", "lines+markers", x, y, "step %{x:,}<br>%{y:.4f}")});
  out.plot["x"] = axis("step");
  out.plot["y"] = axis(what);
  return out;
}

}  // namespace

Json trace(const std::string& name, const std::string& role, const std::string& mode, Json x, Json y,
           const std::string& hover, Json text) {
  Json out{{"name", name}, {"role", role}, {"mode", mode}, {"x", std::move(x)}, {"y", std::move(y)}, {"hover", hover}};
  if (!text.is_null()) out["text"] = std::move(text);
  return out;
}

Json log_axis(const std::string& title, Json ticks, const std::string& format) {
  return {{"title", title}, {"type", "log"}, {"format", format}, {"dtick", std::move(ticks)}};
}

Figure belief_figure(const Certificate& certificate) {
  const double epsilon = *certificate.epsilon;
  Figure out{"belief",
             "What the released model can teach about one " + certificate.unit_of_privacy,
             "Belief before against the highest possible belief after seeing the released model.",
             "",
             {},
             {"belief before", "belief after, at most"},
             {}};
  Json before = Json::array(), after = Json::array(), text = Json::array();
  for (int percent = 0; percent <= 100; ++percent) {
    before.push_back(percent);
    after.push_back(100 * belief_after(percent / 100.0, epsilon));
    text.push_back(round_up(100 * belief_after(percent / 100.0, epsilon), 2));
  }
  for (const double percent : {0.1, 1.0, 10.0, 50.0, 90.0}) {
    out.rows.push_back({exact(percent) + " %", round_up(100 * belief_after(percent / 100, epsilon), 2) + " %"});
  }
  out.plot["traces"] = {
      trace("at most, after this release", "run", "lines", before, after, "before %{x} %<br>after ≤ %{text} %", text),
      trace("nothing learned", "reference", "lines", {0, 100}, {0, 100}, "")};
  out.plot["x"] = axis("belief before, %", {0, 100});
  out.plot["y"] = axis("belief after, %", {0, 102});
  out.caption = "Someone’s belief about what the release keeps secret, before and after they see it.";
  return out;
}

Figure budget_figure(const RunFolder& run) {
  Figure out{"budget",
             "Privacy spent over training",
             cat("Epsilon spent over ", counted(run.certificate.steps), " steps against an allowance of ",
                 round_up(run.certificate.epsilon_planned, 4), "."),
             "",
             {},
             {"step", "ε spent"},
             {}};
  Json x = Json::array(), y = Json::array(), text = Json::array();
  for (const ProgressPoint& point : run.progress) {
    x.push_back(point.step);
    y.push_back(point.epsilon);
    text.push_back(round_up(point.epsilon, 4));
    out.rows.push_back({counted(point.step), round_up(point.epsilon, 4)});
  }
  out.rows = thin(out.rows);
  const double allowed = run.certificate.epsilon_planned;
  const std::string allowed_text = round_up(allowed, 4);
  const int64_t last = std::max(run.certificate.steps_planned, run.progress.back().step);
  out.plot["traces"] = {trace("ε spent", "run", "lines", x, y, "step %{x:,}<br>ε = %{text}", text),
                        trace("ε allowed", "limit", "lines", {0, last}, {allowed, allowed}, "ε allowed = %{text}",
                              {allowed_text, allowed_text})};
  out.plot["x"] = axis("step", {0, last});
  out.plot["y"] = axis("ε", {0, allowed * 1.08});
  return out;
}

Figure held_out_loss_figure(const RunFolder& run) {
  return over_steps(run, "test_loss", "Held-out loss over training", "held-out log loss",
                    [](const ProgressPoint& point) { return point.test_loss; });
}

Figure held_out_auc_figure(const RunFolder& run) {
  return over_steps(run, "test_auc", "Held-out AUC over training", "held-out AUC",
                    [](const ProgressPoint& point) { return point.test_auc; });
}

Figure roc_figure(const Evaluations& evaluations) {
  Figure out{"roc",
             "ROC on the held-out records",
             "Receiver operating characteristic: true positive rate against false positive rate.",
             "",
             {},
             {"false positive rate", "true positive rate"},
             {}};
  const auto add = [&](const Evaluation& e, const std::string& name, const std::string& role) {
    out.plot["traces"].push_back(trace(name + ", AUC " + rounded(e.auc, 4), role, "lines", e.roc.false_positive_rate,
                                       e.roc.true_positive_rate, "false %{x:.3f}<br>true %{y:.3f}"));
  };
  out.plot["traces"] = Json::array();
  if (evaluations.baseline) add(*evaluations.baseline, "baseline (not private)", "baseline");
  add(evaluations.model, "this model", "run");
  out.plot["traces"].push_back(trace("guessing", "reference", "lines", {0, 1}, {0, 1}, ""));
  out.plot["x"] = axis("false positive rate", {0, 1});
  out.plot["y"] = axis("true positive rate", {0, 1.01});
  const RocCurve& roc = evaluations.model.roc;
  for (size_t i = 0; i < roc.true_positive_rate.size(); ++i) {
    out.rows.push_back({rounded(roc.false_positive_rate[i], 4), rounded(roc.true_positive_rate[i], 4)});
  }
  out.rows = thin(out.rows);
  return out;
}

Figure calibration_figure(const Evaluations& evaluations) {
  Figure out{"calibration",
             "Calibration on the held-out records",
             "Share of positives against mean predicted probability, in bins of equal size.",
             "",
             {},
             {"predicted", "observed", "records"},
             {}};
  double highest = 0;
  const auto add = [&](const Evaluation& e, const std::string& name, const std::string& role) {
    const Calibration& c = e.calibration;
    Json text = Json::array();
    for (size_t i = 0; i < c.count.size(); ++i) {
      text.push_back(counted(c.count[i]));
      highest = std::max({highest, c.predicted[i], c.observed[i]});
    }
    out.plot["traces"].push_back(trace(name, role, "lines+markers", c.predicted, c.observed,
                                       "predicted %{x:.4f}<br>observed %{y:.4f}<br>%{text} records", text));
  };
  out.plot["traces"] = Json::array();
  if (evaluations.baseline) add(*evaluations.baseline, "baseline (not private)", "baseline");
  add(evaluations.model, "this model", "run");
  const double limit = std::min(1.0, highest * 1.1);
  out.plot["traces"].push_back(trace("perfect", "reference", "lines", {0, limit}, {0, limit}, ""));
  out.plot["x"] = axis("predicted probability", {0, limit});
  out.plot["y"] = axis("observed share", {0, limit});
  const Calibration& c = evaluations.model.calibration;
  for (size_t i = 0; i < c.count.size(); ++i) {
    out.rows.push_back({rounded(c.predicted[i], 4), rounded(c.observed[i], 4), counted(c.count[i])});
  }
  return out;
}

std::vector<Figure> operator_figures(const std::vector<OperatorPoint>& points) {
  struct Curve {
    const char *id, *title, *what;
    std::function<std::optional<double>(const OperatorPoint&)> value;
  };
  const std::vector<Curve> curves{
      {"training_loss", "Exact training loss", "training loss", [](const OperatorPoint& p) { return p.loss; }},
      {"batch_size", "Units drawn", "batch size", [](const OperatorPoint& p) { return double(p.batch_size); }},
      {"clipped_fraction", "Share of units clipped", "clipped fraction",
       [](const OperatorPoint& p) { return p.clipped_fraction; }},
      {"non_finite", "Units whose gradient was not finite", "not finite",
       [](const OperatorPoint& p) { return double(p.non_finite); }},
      {"samples_per_second", "Throughput", "samples/s", [](const OperatorPoint& p) { return p.samples_per_second; }}};
  std::vector<Figure> out;
  for (const Curve& curve : curves) {
    Figure figure{
        curve.id, curve.title, std::string(curve.what) + " over training steps.", "", {}, {"step", curve.what}, {}};
    Json x = Json::array(), y = Json::array();
    for (const OperatorPoint& point : points) {
      const std::optional<double> value = curve.value(point);
      if (!value) continue;
      x.push_back(point.step);
      y.push_back(*value);
      figure.rows.push_back({counted(point.step), rounded(*value, 4)});
    }
    if (figure.rows.empty()) continue;
    figure.rows = thin(figure.rows);
    figure.plot["traces"] = Json::array({trace(curve.what, "run", "lines", x, y, "step %{x:,}<br>%{y:,.5~r}")});
    figure.plot["x"] = axis("step");
    figure.plot["y"] = axis(curve.what);
    out.push_back(std::move(figure));
  }
  return out;
}

}  // namespace sotto::report
