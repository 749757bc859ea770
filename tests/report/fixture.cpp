#include "tests/report/fixture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "base/atomic_file.h"
#include "base/hash.h"
#include "report/plotly.h"

namespace sotto::report {
namespace {

constexpr int64_t kSteps = 400;
constexpr double kEpsilon = 2.7351234567;

constexpr const char* kConfig = R"(# MedAI: 30-day readmission
[data]
path = "datasets/diabetes130/diabetic_data.csv.gz"
schema = "datasets/diabetes130/schema.toml"

[model]
kind = "logistic"

[privacy]
epsilon = 3.0
delta = 1e-5
clip_norm = 1.0
accountant = "rdp"

[training]
steps = 400
batch_size = 4096
learning_rate = 0.5
schedule = "cosine"
)";

double spent_after(int64_t step) {
  return kEpsilon * std::sqrt(double(step) / double(kSteps));
}

}  // namespace

Certificate fixture_certificate() {
  Certificate c;
  c.sotto_version = "0.1.0";
  c.epsilon = kEpsilon;
  c.epsilon_planned = 3;
  c.delta = 1e-5;
  c.not_covered = {kTestMetrics, kNonPrivateBaseline, kHyperparameterSearch, kFloatingPointAttacks};
  c.noise_arithmetic = "float32 sums, Box–Muller on 53-bit uniforms; truncation added to δ";
  c.accountant = "rdp";
  c.neighbouring_relation = "add_remove";
  c.unit_of_privacy = "patient_nbr";
  c.sampling = "poisson";
  c.noise_multiplier = 1.0234567891234567;
  c.clip_norm = 1;
  c.l2_sensitivity = 1.0000002;
  c.sample_rate = 4096.0 / 55743;
  c.public_size = 55743;
  c.steps = kSteps;
  c.steps_planned = kSteps;
  c.metrics = {{"test_auc", 0.6466}};
  c.dataset = {"diabetes130", "sha256:16209e462b906f828e2423f7a9f783f4c4472ad81abd7d653f4e19b46da76e82",
               true,          to_hex(sha256("schema")),
               "CC BY 4.0",   {{"train", 55743}, {"test", 14230}}};
  c.model = {"Logistic regression", 370};
  c.ledger = "runs/diabetes130.ledger";
  c.ledger_row = {16, to_hex(sha256("row 16"))};
  return c;
}

Evaluation fixture_evaluation(int64_t count, double shift, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> probabilities;
  std::vector<uint8_t> labels;
  for (int64_t i = 0; i < count; ++i) {
    const bool positive = i % 11 == 0;
    // Two unit normals `shift` apart have exactly this log odds at x, so the scores are calibrated.
    const double x = normal(random) + (positive ? shift : 0);
    const double log_odds = shift * x - shift * shift / 2 - std::log(10.0);
    probabilities.push_back(1 / (1 + std::exp(-log_odds)));
    labels.push_back(positive);
  }
  return evaluate(probabilities, labels);
}

void write_fixture(const std::filesystem::path& run, const FixtureOptions& options) {
  std::filesystem::remove_all(run);
  std::filesystem::remove_all(operator_folder(run));
  make_folder(run);
  make_folder(operator_folder(run), 0700);
  write_file(run / "config.toml", kConfig);
  write_file(run / "model.toml", "architecture = \"logistic\"\nfeatures = [\"age\", \"number_inpatient\"]\n");
  write_file(run / "model.safetensors", "weights");
  Evaluations evaluations{fixture_evaluation(14230, 0.53, 1), std::nullopt};
  if (options.baseline) evaluations.baseline = fixture_evaluation(14230, 0.56, 2);
  write_evaluations(run / "evaluation.json", evaluations);
  Certificate certificate = options.certificate;
  if (options.auc_agrees && !certificate.metrics.empty()) certificate.metrics["test_auc"] = evaluations.model.auc;
  write_certificate(run / "certificate.json", certificate);
  std::string lines, exact;
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  for (int64_t step = 1; step <= kSteps; ++step) {
    const double progress = double(step) / double(kSteps), decay = std::exp(-4 * progress);
    Json line{
        {"step", step}, {"epsilon", spent_after(step)}, {"learning_rate", 0.25 * (1 + std::cos(M_PI * progress))}};
    if (step % 20 == 0) {
      line["test_loss"] = 0.2935 + 0.05 * decay + 0.0008 * normal(random);
      line["test_auc"] = 0.647 - 0.06 * decay + 0.001 * normal(random);
    }
    lines += line.dump() + "\n";
    exact += Json{{"step", step},
                  {"loss", 0.292 + 0.4 * decay + 0.006 * normal(random)},
                  {"batch_size", int64_t(4096 + 60 * normal(random))},
                  {"clipped_fraction", 0.31 + 0.2 * decay},
                  {"non_finite", step == 77 ? 1 : 0},
                  {"samples_per_second", 412345.5 + 9000 * normal(random)}}
                 .dump() +
             "\n";
  }
  write_file(run / "metrics.jsonl", lines);
  write_file(operator_folder(run) / "metrics.jsonl", exact, 0600);
  std::vector<LedgerLine> rows;
  for (int64_t id = 1; id <= 16; ++id) {
    rows.push_back({id, cat("2026-11-23T09:14:", 10 + id, "Z"), "charge", id * kSteps / 16,
                    spent_after(id * kSteps / 16), to_hex(sha256(cat("row ", id)))});
  }
  write_ledger_excerpt(run / "ledger.json", rows);
}

std::filesystem::path test_folder() {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  const std::filesystem::path folder =
      std::filesystem::path(SOTTO_BINARY) / "test_folders" / cat(test->test_suite_name(), ".", test->name());
  std::filesystem::remove_all(folder);
  make_folder(folder);
  return folder;
}

std::string own_text(const std::string& page) {
  std::string out = page;
  out.erase(out.find(plotly_source()), plotly_source().size());
  const size_t style = out.find("<style>");
  return out.erase(style, out.find("</style>") - style);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

std::string message_of(const std::function<void()>& work, ErrorKind kind) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace sotto::report
