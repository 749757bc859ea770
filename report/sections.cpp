#include <algorithm>

#include "base/error.h"
#include "report/guarantee.h"
#include "report/numbers.h"
#include "report/page.h"

namespace sotto::report {
namespace {

Html entry(const std::string& term, const Html& value) {
  return html("<div><dt>", term, "</dt><dd>", value, "</dd></div>");
}

Html tile(const std::string& label, const std::string& value, const std::string& note) {
  return html("<div class=\"tile\"><p class=\"label\">", label, "</p><p class=\"value\">", value,
              "</p><p class=\"note\">", note, "</p></div>");
}

std::string spent(const Certificate& c) {
  return c.epsilon ? round_up(*c.epsilon, 4) : "unbounded";
}

std::string one_in(double delta) {
  if (!(delta > 0)) return "no exception";
  // Rounded down, towards the likelier exception; 1 / 1e-5 is a hair below 100,000.
  return "1 in " + counted(static_cast<int64_t>(std::min(1 / delta * (1 + 1e-12), 1e18)));
}

std::string percent_up(double share) {
  return round_up(100 * share, 2) + " %";
}

Html explained_list(const std::vector<Explained>& list) {
  Html out = html("<dl class=\"explained\">");
  for (const Explained& item : list) out += html("<dt>", item.what, "</dt><dd>", prose(item.why), "</dd>");
  out += html("</dl>");
  return out;
}

}  // namespace

Html banner_part(const Certificate& c) {
  if (c.is_private()) return {};
  return html("<aside class=\"banner\" id=\"unsafe\" role=\"alert\"><h2>Unsafe: this run has no privacy guarantee</h2>",
              explained_list(explain_unsafe(c.unsafe)), "</aside>\n");
}

Html summary_part(const RunFolder& run) {
  const Certificate& c = run.certificate;
  Html tiles = tile("ε " + std::string(c.is_private() ? "spent" : "accounted, not guaranteed"), spent(c),
                    "of " + round_up(c.epsilon_planned, 4) + " allowed");
  tiles += tile("δ", exact(c.delta), one_in(c.delta));
  tiles += tile("Training steps", counted(c.steps), "of " + counted(c.steps_planned) + " planned");
  if (run.evaluations) {
    const Evaluation& e = run.evaluations->model;
    tiles += tile("Held-out AUC", rounded(e.auc, 4),
                  cat("95 %: ", rounded(e.auc_interval.low, 3), " to ", rounded(e.auc_interval.high, 3)));
  }
  return html("<header><p class=\"kicker\">Privacy report</p><h1>", c.model.kind, " trained on ", c.dataset.name,
              "</h1><div class=\"tiles\">", tiles, "</div></header>\n");
}

Html guarantee_part(const RunFolder& run, std::vector<Figure>& figures) {
  const Certificate& c = run.certificate;
  Html out =
      html("<section id=\"guarantee\"><h2>The guarantee</h2><p class=\"lead\">", prose(guarantee_sentence(c)), "</p>");
  if (c.is_private()) {
    figures.push_back(belief_figure(c));
    const double best = best_guess(*c.epsilon, c.delta);
    out += html(
        "<h3>What ε and δ mean</h3><p>Suppose someone knows everything except ", prose(secret(c)),
        ", and then studies the released model with unlimited means. ε bounds how far that can move their "
        "belief. Whoever starts undecided, at 50 %, guesses right at best ",
        percent_up(best), " of the time; a coin does so 50 % of the time. δ is the probability, ", exact(c.delta), " (",
        one_in(c.delta),
        "), with which the bound may fail. This is a ceiling for the worst case, not a "
        "forecast.</p><p>Rating: ",
        rating(*c.epsilon), ".</p>",
        c.refused
            ? html("<p>The run could not have been longer: ", refusal_sentence(*c.refused, c.epsilon_planned), "</p>")
            : Html(),
        "<div class=\"pair\">", table(figures.back().columns, figures.back().rows), show(figures.back()), "</div>");
  }
  out += html("</section>\n");
  return out;
}

Html not_covered_part(const Certificate& c) {
  if (c.not_covered.empty()) {
    return html(
        "<section id=\"not-covered\"><h2>What it does not cover</h2><p>The run lists no exception.</p></section>\n");
  }
  return html("<section id=\"not-covered\"><h2>What it does not cover</h2>",
              explained_list(explain_not_covered(c.not_covered)), "</section>\n");
}

Html training_part(const RunFolder& run) {
  const Certificate& c = run.certificate;
  Html list = entry("Data set", html(c.dataset.name));
  list += entry("Licence", html(c.dataset.licence.empty() ? "not stated" : c.dataset.licence));
  list += entry("Data set is", html(std::string(c.dataset.is_public ? "public" : "not public")));
  for (const auto& [name, count] : c.dataset.counts) list += entry("Count: " + name, html(counted(count)));
  list += entry("Declared size", html(counted(c.public_size), " units, a public figure"));
  list += entry("Unit of privacy", html("<code>", c.unit_of_privacy, "</code>"));
  list += entry("Identity", html("<code>", c.dataset.identity, "</code>"));
  list += entry("Schema", html("<code>", c.dataset.schema_hash, "</code>"));
  list += entry("Model", html(c.model.kind, ", ", counted(c.model.parameters), " parameters"));
  return html("<section id=\"training\"><h2>What was trained on what</h2><dl class=\"facts\">", list,
              "</dl></section>\n");
}

Html budget_part(const RunFolder& run, std::vector<Figure>& figures) {
  const Certificate& c = run.certificate;
  Html out = html("<section id=\"budget\"><h2>Budget and mechanism</h2>");
  if (!run.progress.empty()) {
    figures.push_back(budget_figure(run));
    out += show(figures.back());
  }
  Html list = entry("Accountant", html(c.accountant));
  list += entry("Neighbouring relation", html(c.neighbouring_relation));
  list += entry("Sampling", html(c.sampling, ", rate ", exact(c.sample_rate)));
  list += entry("Noise multiplier", html(exact(c.noise_multiplier)));
  list += entry("Clipping", html(c.clipping));
  list += entry("Clipping norm", html(exact(c.clip_norm)));
  list += entry("L2 sensitivity", html(exact(c.l2_sensitivity)));
  list += entry("Noise arithmetic", html(c.noise_arithmetic));
  list += entry("δ · declared size", html(round_up(c.delta * double(c.public_size), 4), " (below 1 is customary)"));
  out += html("<dl class=\"facts\">", list, "</dl></section>\n");
  return out;
}

Html quality_part(const RunFolder& run, std::vector<Figure>& figures) {
  Html out = html("<section id=\"quality\"><h2>Quality on held-out records</h2>");
  if (!run.evaluations) {
    out += html("<p>This run was not evaluated.</p></section>\n");
    return out;
  }
  const Evaluation& own = run.evaluations->model;
  const auto& baseline = run.evaluations->baseline;
  std::vector<std::string> columns{"measure", "this model"};
  std::vector<std::vector<std::string>> rows{{"AUC"},      {"AUC, 95 % interval"}, {"Average precision"},
                                             {"Log loss"}, {"Brier score"},        {"Records"},
                                             {"Positives"}};
  const auto add = [&](const Evaluation& e) {
    const std::vector<std::string> values{rounded(e.auc, 4),
                                          rounded(e.auc_interval.low, 4) + " to " + rounded(e.auc_interval.high, 4),
                                          rounded(e.average_precision, 4),
                                          rounded(e.log_loss, 4),
                                          rounded(e.brier, 4),
                                          counted(e.count),
                                          counted(e.positives)};
    for (size_t i = 0; i < rows.size(); ++i) rows[i].push_back(values[i]);
  };
  add(own);
  if (baseline) {
    columns.emplace_back("baseline (not private)");
    add(*baseline);
  }
  out += table(columns, rows);
  if (baseline) {
    out += html("<p class=\"note\">AUC of the baseline less that of this model: ", rounded(baseline->auc - own.auc, 4),
                ", measured on the same records; each is uncertain by its interval. The baseline was trained without "
                "protection and must not be released.</p>");
  }
  for (Figure figure : {held_out_loss_figure(run), held_out_auc_figure(run)}) {
    if (figure.rows.empty()) continue;
    figures.push_back(std::move(figure));
    out += show(figures.back());
  }
  out += html("<div class=\"pair\">");
  figures.push_back(roc_figure(*run.evaluations));
  out += show(figures.back());
  figures.push_back(calibration_figure(*run.evaluations));
  out += show(figures.back());
  out += html("</div></section>\n");
  return out;
}

Html operator_part(const std::vector<OperatorPoint>& points, std::vector<Figure>& figures) {
  Html out = html("<section id=\"operator\"><h2>For the operator only: exact training figures</h2>");
  for (Figure& figure : operator_figures(points)) {
    out += show(figure);
    figures.push_back(std::move(figure));
  }
  out += html("</section>\n");
  return out;
}

}  // namespace sotto::report
