#include "report/run_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "report/report.h"
#include "tests/report/fixture.h"

namespace sotto::report {
namespace {

TEST(RunFolder, MissingFileIsNamedAndNothingIsWritten) {
  for (const char* name : {"certificate.json", "config.toml", "metrics.jsonl", "ledger.json", "evaluation.json"}) {
    const auto run = test_folder() / "run";
    write_fixture(run);
    std::filesystem::remove(run / name);
    const std::string message = message_of([&] { write_report(run); }, ErrorKind::io);
    EXPECT_TRUE(has(message, (run / name).string())) << message;
    EXPECT_FALSE(std::filesystem::exists(run / "report.html"));
    EXPECT_FALSE(std::filesystem::exists(run / "report.json"));
  }
}

TEST(RunFolder, MissingFolderIsNamed) {
  EXPECT_TRUE(has(message_of([] { write_report("/nowhere/run"); }, ErrorKind::io), "/nowhere/run"));
}

TEST(RunFolder, CorruptFileIsNamedWithItsLine) {
  struct Case {
    const char *file, *content, *expected;
  };
  for (const Case& row : std::vector<Case>{
           {"certificate.json", "{", "certificate.json"},
           {"evaluation.json", "{\"format_version\": 1}", "evaluation.json: field `private` is missing"},
           {"ledger.json", "{\"format_version\": 1, \"rows\": [3]}", "ledger.json: field `rows`"},
           {"ledger.json", "{\"format_version\": 1, \"rows\": [{\"id\": 1}]}", "field `rows[0].time` is missing"},
           {"config.toml", "a = 1\nb = = 2\n", "config.toml:2"},
           {"model.toml", "=", "model.toml:1"},
           {"metrics.jsonl", "{\"step\":1,\"epsilon\":0.1,\"learning_rate\":1}\nnonsense\n", "metrics.jsonl:2"},
           {"metrics.jsonl", "{\"step\":1,\"epsilon\":\"0.1\",\"learning_rate\":1}\n",
            "metrics.jsonl:1: field `epsilon`"},
           {"metrics.jsonl", "{\"step\":1.5,\"epsilon\":0.1,\"learning_rate\":1}\n", "field `step` must be an integer"},
           {"metrics.jsonl", "{\"step\":1,\"epsilon\":0.1}\n", "field `learning_rate` is missing"},
           {"metrics.jsonl", "\n", "metrics.jsonl:1"}}) {
    const auto run = test_folder() / "run";
    write_fixture(run);
    write_file(run / row.file, row.content);
    const std::string message = message_of([&] { write_report(run); });
    EXPECT_TRUE(has(message, row.expected)) << message;
  }
}

TEST(RunFolder, EpsilonThatFallsOrPassesTheCertificateIsRefused) {
  const auto run = test_folder() / "run";
  write_fixture(run);
  write_file(run / "metrics.jsonl",
             "{\"step\":1,\"epsilon\":0.2,\"learning_rate\":1}\n{\"step\":2,\"epsilon\":0.1,\"learning_rate\":1}\n");
  EXPECT_TRUE(has(message_of([&] { read_run_folder(run); }), "metrics.jsonl:2: field `epsilon`"));
  write_file(run / "metrics.jsonl", "{\"step\":1,\"epsilon\":2.74,\"learning_rate\":1}\n");
  EXPECT_TRUE(has(message_of([&] { read_run_folder(run); }), "that certificate.json certifies"));
}

TEST(RunFolder, CertificateAndLedgerMayNotDisagree) {
  const auto run = test_folder() / "run";
  FixtureOptions options;
  options.certificate.ledger_row.head_hash = "00";
  write_fixture(run, options);
  EXPECT_TRUE(has(message_of([&] { read_run_folder(run); }), "ledger.json: field `rows[15].hash`"));
  options.certificate = fixture_certificate();
  options.certificate.ledger_row.id = 99;
  write_fixture(run, options);
  EXPECT_TRUE(has(message_of([&] { read_run_folder(run); }), "has no row 99"));
}

TEST(RunFolder, CertificateAndEvaluationMayNotDisagree) {
  const auto run = test_folder() / "run";
  FixtureOptions options;
  options.auc_agrees = false;
  write_fixture(run, options);
  EXPECT_TRUE(has(message_of([&] { read_run_folder(run); }), "evaluation.json: field `private.auc`"));
}

TEST(RunFolder, TestLossAloneMustBeToldToo) {
  const auto run = test_folder() / "run";
  FixtureOptions options;
  options.certificate.metrics.clear();
  options.certificate.not_covered.clear();
  write_fixture(run, options);
  std::filesystem::remove(run / "evaluation.json");
  EXPECT_TRUE(has(message_of([&] { read_run_folder(run); }), "must list `test_metrics`"));
}

TEST(RunFolder, ExactTestMetricsMustBeToldAsNotCovered) {
  for (const char* name : {kTestMetrics, kNonPrivateBaseline}) {
    const auto run = test_folder() / "run";
    FixtureOptions options;
    std::erase(options.certificate.not_covered, name);
    write_fixture(run, options);
    EXPECT_TRUE(has(message_of([&] { read_run_folder(run); }), "must list `" + std::string(name) + "`"));
  }
}

TEST(RunFolder, ResumedStepsReplaceTheFirstAndACutLastLineIsNotThereYet) {
  const auto run = test_folder() / "run";
  write_fixture(run);
  std::string lines;
  for (const char* line : {"1, \"epsilon\": 0.1", "2, \"epsilon\": 0.2", "3, \"epsilon\": 0.3", "2, \"epsilon\": 0.2",
                           "3, \"epsilon\": 0.35"}) {
    lines += "{\"learning_rate\": 1, \"step\": " + std::string(line) + "}\n";
  }
  write_file(run / "metrics.jsonl", lines + "{\"learning_rate\": 1, \"st");
  const RunFolder read = read_run_folder(run);
  ASSERT_EQ(read.progress.size(), 3u);
  EXPECT_EQ(read.progress[1].step, 2);
  EXPECT_EQ(read.progress[2].epsilon, 0.35);
}

TEST(RunFolder, OperatorFolderIsBesideTheRun) {
  EXPECT_EQ(operator_folder("runs/a"), "runs/a.operator");
  EXPECT_EQ(operator_folder("runs/a/"), "runs/a.operator");
  EXPECT_EQ(operator_folder("runs/./a.b"), "runs/a.b.operator");
}

TEST(RunFolder, InterruptedRunWithoutEvaluationStillReports) {
  const auto run = test_folder() / "run";
  FixtureOptions options;
  options.certificate.metrics.clear();
  write_fixture(run, options);
  for (const char* name : {"evaluation.json", "model.toml", "model.safetensors"}) std::filesystem::remove(run / name);
  write_file(run / "metrics.jsonl", "");
  write_report(run);
  EXPECT_TRUE(has(read_file(run / "report.html"), "This run was not evaluated."));
}

TEST(RunFolder, OperatorsReportIsForItsOwnerAlone) {
  const auto run = test_folder() / "run";
  write_fixture(run);
  write_report(run, true);
  struct stat status {};
  ASSERT_EQ(::stat((operator_folder(run) / "report.html").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  std::filesystem::remove(operator_folder(run) / "metrics.jsonl");
  EXPECT_TRUE(has(message_of([&] { write_report(run, true); }, ErrorKind::io), "run.operator/metrics.jsonl"));
}

}  // namespace
}  // namespace sotto::report
