#include "report/report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <regex>

#include "base/atomic_file.h"
#include "report/figure.h"
#include "report/guarantee.h"
#include "report/plotly.h"
#include "tests/report/fixture.h"

namespace sotto::report {
namespace {

std::string page_of(const FixtureOptions& options = {}) {
  const auto run = test_folder() / "run";
  write_fixture(run, options);
  write_report(run);
  return read_file(run / "report.html");
}

// As a reader sees it: a no-break space is a space.
std::string without_tags(const std::string& page) {
  return std::regex_replace(std::regex_replace(page, std::regex("<[^>]*>"), ""), std::regex("\u00a0"), " ");
}

TEST(Report, SaysTheGuaranteeInOneSentence) {
  struct Case {
    const char *relation, *words;
  };
  for (const Case& row :
       {Case{"add_remove", "adding or removing all training records of any one patient_nbr"},
        Case{"replace_one", "replacing all training records of any one patient_nbr by any other records"},
        Case{"zero_out", "blanking all training records of any one patient_nbr"}}) {
    FixtureOptions options;
    options.certificate.neighbouring_relation = row.relation;
    EXPECT_TRUE(
        has(without_tags(own_text(page_of(options))),
            "Training was differentially private for each patient_nbr with ε = 2.7352 and δ = 1e-5: " +
                std::string(row.words) +
                " changes the probability of any result of the training by at most a factor of e^ε = 15.42, plus δ."));
  }
}

TEST(Report, EpsilonIsNeverPrintedBelowItsValue) {
  const std::string page = own_text(page_of());
  const double epsilon = *fixture_certificate().epsilon;
  const std::regex number("[0-9]+\\.[0-9]+");
  int printed = 0;
  for (std::sregex_iterator at(page.begin(), page.end(), number), end; at != end; ++at) {
    const double value = std::stod(at->str());
    if (std::abs(value - epsilon) > 0.001) continue;
    ++printed;
    EXPECT_GE(value, epsilon) << at->str();
  }
  // Tile, sentence, ledger row, table under the plot, hover text, plotted value.
  EXPECT_GE(printed, 6);
}

TEST(Report, HoverTextOfTheBudgetIsNeverBelowTheBudget) {
  const auto run = test_folder() / "run";
  write_fixture(run);
  const Figure figure = budget_figure(read_run_folder(run));
  const Json& trace = figure.plot["traces"][0];
  ASSERT_EQ(trace["text"].size(), 400u);
  for (size_t i = 0; i < 400; ++i) {
    EXPECT_GE(std::stod(trace["text"][i].get<std::string>()), trace["y"][i].get<double>());
  }
  EXPECT_EQ(figure.rows.back(), (std::vector<std::string>{"400", "2.7352"}));
}

TEST(Report, BannerStandsIfAndOnlyIfSomethingIsUnsafe) {
  EXPECT_FALSE(has(own_text(page_of()), "id=\"unsafe\""));
  FixtureOptions options;
  options.certificate.unsafe = {kFixedSeed, "made_up_reason"};
  const std::string page = own_text(page_of(options));
  EXPECT_TRUE(has(page, "id=\"unsafe\""));
  EXPECT_TRUE(has(page, "The random seed was fixed"));
  EXPECT_TRUE(has(page, "made_up_reason"));
  EXPECT_TRUE(has(page, "This run guarantees nothing"));
  EXPECT_FALSE(has(page, "Training was differentially private"));
  EXPECT_FALSE(has(page, "What ε and δ mean"));
}

TEST(Report, RunWithoutAnyBoundSaysUnbounded) {
  FixtureOptions options;
  options.certificate.unsafe = {kNoPrivacy};
  options.certificate.epsilon.reset();
  EXPECT_TRUE(has(own_text(page_of(options)), "unbounded"));
}

TEST(Report, TextOfTheRunIsInert) {
  const std::string attack = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'`";
  FixtureOptions options;
  Certificate& c = options.certificate;
  c.dataset.name = c.dataset.licence = c.unit_of_privacy = c.model.kind = c.sotto_version = c.noise_arithmetic = attack;
  c.sampling = c.dataset.schema_hash = c.ledger = attack;
  c.dataset.counts = {{attack, 1}};
  c.not_covered.push_back(attack);
  const auto run = test_folder() / "run";
  write_fixture(run, options);
  std::vector<LedgerLine> rows = read_run_folder(run).ledger;
  rows[0].kind = rows[0].time = attack;
  write_ledger_excerpt(run / "ledger.json", rows);
  write_file(run / "config.toml", "name = '''" + attack + "'''\n");
  write_file(run / "model.toml", "name = '''" + attack + "'''\n");
  write_report(run);
  const std::string page = own_text(read_file(run / "report.html"));
  EXPECT_EQ(count_of(page, "<script"), 3u);
  EXPECT_EQ(count_of(page, "</script"), 3u);
  EXPECT_FALSE(has(page, "<img"));
  EXPECT_FALSE(has(page, "alert(1)\""));
  EXPECT_TRUE(has(page, "&lt;script&gt;alert(1)"));
}

TEST(Report, PageLoadsNothingAndForbidsForeignScripts) {
  const std::string page = page_of();
  const std::string own = own_text(page);
  EXPECT_FALSE(std::regex_search(own, std::regex("(src|href|action|data)\\s*=\\s*[\"']?(https?:)?//")));
  EXPECT_FALSE(has(own, "@import"));
  EXPECT_FALSE(has(own, "<link"));
  EXPECT_TRUE(has(own, "default-src &#39;none&#39;"));
  EXPECT_EQ(count_of(page, plotly_source()), 1u);
  EXPECT_TRUE(has(plotly_source(), "window.Plotly"));
}

TEST(Report, EveryPlotHasAPlaceADescriptionAndATable) {
  const std::string page = own_text(page_of());
  const size_t begin = page.find("id=\"figures\">") + 13;
  const Json plots = Json::parse(page.substr(begin, page.find("</script>", begin) - begin));
  ASSERT_EQ(plots.size(), 6u);
  for (const Json& plot : plots) {
    EXPECT_EQ(count_of(page, "id=\"plot_" + plot["id"].get<std::string>() + "\" aria-label=\""), 1u);
    for (const Json& trace : plot["traces"]) EXPECT_EQ(trace["x"].size(), trace["y"].size());
  }
  EXPECT_EQ(count_of(page, "<figure>"), 6u);
  EXPECT_EQ(count_of(page, "The numbers as a table"), 6u);
}

TEST(Report, NotCoveredIsExplained) {
  const std::string page = own_text(page_of());
  for (const char* text :
       {"Test metrics", "The non-private baseline", "Hyperparameter search", "Floating-point attacks"}) {
    EXPECT_TRUE(has(page, text)) << text;
  }
}

TEST(Report, WordsFollowTheNeighbouringRelation) {
  FixtureOptions options;
  EXPECT_TRUE(
      has(own_text(page_of(options)), "everything except whether one <code>patient_nbr</code> was in the data"));
  options.certificate.neighbouring_relation = "replace_one";
  EXPECT_TRUE(has(own_text(page_of(options)), "everything except which of two candidates"));
}

TEST(Report, LedgerCommandCanBePastedEvenWithSpaces) {
  FixtureOptions options;
  EXPECT_TRUE(has(own_text(page_of(options)), "sotto ledger verify runs/diabetes130.ledger --against "));
  options.certificate.ledger = "my runs/it's.ledger";
  EXPECT_TRUE(has(own_text(page_of(options)), "verify &#39;my runs/it&#39;\\&#39;&#39;s.ledger&#39; --against "));
}

TEST(Report, JsonTwinHasEveryNumber) {
  const auto run = test_folder() / "run";
  write_fixture(run);
  write_report(run);
  const Json twin = read_object(run / "report.json");
  EXPECT_EQ(twin["certificate"], read_object(run / "certificate.json"));
  EXPECT_EQ(twin["evaluation"], read_object(run / "evaluation.json"));
  EXPECT_EQ(twin["ledger"], read_object(run / "ledger.json")["rows"]);
  ASSERT_EQ(twin["progress"].size(), 400u);
  std::istringstream lines(read_file(run / "metrics.jsonl"));
  std::string line;
  for (size_t i = 0; std::getline(lines, line); ++i) EXPECT_EQ(twin["progress"][i], Json::parse(line));
  EXPECT_EQ(twin["guarantee"]["epsilon"], *fixture_certificate().epsilon);
  EXPECT_EQ(twin["config"], read_file(run / "config.toml"));
  EXPECT_EQ(twin["files"].size(), 7u);
}

TEST(Report, SameRunGivesTheSameBytes) {
  const auto run = test_folder() / "run";
  write_fixture(run);
  write_report(run);
  const std::string page = read_file(run / "report.html"), twin = read_file(run / "report.json");
  write_report(run);
  EXPECT_EQ(page, read_file(run / "report.html"));
  EXPECT_EQ(twin, read_file(run / "report.json"));
}

TEST(Report, ExactTrainingFiguresStayInTheOperatorsFolder) {
  const auto run = test_folder() / "run";
  write_fixture(run);
  write_report(run, true);
  const std::string released = own_text(read_file(run / "report.html"));
  const std::string kept = own_text(read_file(operator_folder(run) / "report.html"));
  for (const char* mark : {"Not releasable", "Exact training loss", "plot_training_loss", "plot_clipped_fraction"}) {
    EXPECT_TRUE(has(kept, mark)) << mark;
    EXPECT_FALSE(has(released, mark)) << mark;
  }
  EXPECT_FALSE(has(read_file(run / "report.json"), "clipped_fraction"));
}

TEST(Guarantee, BeliefNeverExceedsTheDefinition) {
  for (const double epsilon : {0.0, 0.1, 1.0, 3.0, 8.0, 700.0, 5000.0}) {
    for (const double prior : {0.0, 0.001, 0.5, 0.9, 1.0}) {
      const double after = belief_after(prior, epsilon);
      EXPECT_GE(after, prior);
      EXPECT_LE(after, 1);
      if (epsilon < 700) {
        const double factor = std::exp(epsilon);
        EXPECT_NEAR(after, prior * factor / (1 - prior + prior * factor), 1e-12);
      }
    }
  }
  EXPECT_NEAR(best_guess(0, 0), 0.5, 1e-15);
  EXPECT_NEAR(best_guess(std::log(3), 0), 0.75, 1e-15);
  EXPECT_NEAR(best_guess(0, 0.1), 0.55, 1e-15);
  EXPECT_LE(best_guess(5000, 1e-5), 1);
}

// Also what tests/report/screenshot_test.py opens in a browser.
TEST(ReportPage, OfTheFixtureIsWritten) {
  const char* wanted = std::getenv("SOTTO_REPORT_FIXTURE");
  const auto run = wanted ? std::filesystem::path(wanted) : test_folder() / "medai";
  make_folder(run.parent_path());
  write_fixture(run);
  write_report(run, true);
  EXPECT_GT(std::filesystem::file_size(run / "report.html"), plotly_source().size());
}

}  // namespace
}  // namespace sotto::report
