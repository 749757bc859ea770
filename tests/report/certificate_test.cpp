#include "report/certificate.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "report/guarantee.h"
#include "tests/report/fixture.h"

namespace sotto::report {
namespace {

const double kInfinity = std::numeric_limits<double>::infinity(), kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(Certificate, SurvivesTheFileToTheLastBit) {
  const Certificate before = fixture_certificate();
  const auto path = test_folder() / "certificate.json";
  write_certificate(path, before);
  const Certificate after = read_certificate(path);
  EXPECT_EQ(to_json(after).dump(), to_json(before).dump());
  EXPECT_EQ(*after.epsilon, *before.epsilon);
  EXPECT_EQ(after.sample_rate, before.sample_rate);
  EXPECT_EQ(after.noise_multiplier, before.noise_multiplier);
  EXPECT_EQ(after.dataset.counts, before.dataset.counts);
}

TEST(Certificate, EveryUnsafeChoiceIsExplained) {
  for (const char* name : {kFixedSeed, kUnsafeGenerator, kNoPrivacy}) {
    const std::vector<Explained> explained = explain_unsafe({name});
    ASSERT_EQ(explained.size(), 1u);
    EXPECT_NE(explained[0].what, name);
    EXPECT_FALSE(explained[0].why.empty()) << name;
  }
}

TEST(Certificate, HasEveryFieldOfTheContract) {
  const Json json = to_json(fixture_certificate());
  for (const char* name : {"format_version",
                           "epsilon",
                           "epsilon_planned",
                           "delta",
                           "not_covered",
                           "noise_arithmetic",
                           "accountant",
                           "neighbouring_relation",
                           "unit_of_privacy",
                           "sampling",
                           "noise_multiplier",
                           "clip_norm",
                           "sample_rate",
                           "public_size",
                           "steps",
                           "steps_planned",
                           "l2_sensitivity",
                           "private",
                           "unsafe",
                           "metrics",
                           "dataset",
                           "ledger_row",
                           "ledger",
                           "sotto_version",
                           "model"}) {
    EXPECT_TRUE(json.contains(name)) << name;
  }
  EXPECT_EQ(json["metrics"]["test_auc"], 0.6466);
  EXPECT_EQ(json["ledger_row"]["id"], 16);
  EXPECT_EQ(json["private"], true);
}

TEST(Certificate, MissingFieldIsNamed) {
  const Json whole = to_json(fixture_certificate());
  for (const auto& field : whole.items()) {
    Json json = whole;
    json.erase(field.key());
    if (field.key() == "clipping") {  // younger than the format
      EXPECT_EQ(certificate_from_json(json).clipping, "flat");
      continue;
    }
    const std::string message = message_of([&] { certificate_from_json(json, "RUN/certificate.json"); });
    EXPECT_NE(message.find("RUN/certificate.json"), std::string::npos) << message;
    EXPECT_NE(message.find("`" + field.key() + "` is missing"), std::string::npos) << message;
  }
  Json json = whole;
  json["dataset"].erase("licence");
  EXPECT_NE(message_of([&] { certificate_from_json(json); }).find("`dataset.licence` is missing"), std::string::npos);
}

TEST(Certificate, WrongTypeIsNamed) {
  const Json whole = to_json(fixture_certificate());
  for (const auto& field : whole.items()) {
    Json json = whole;
    json[field.key()] = field.value().is_string() ? Json(1) : Json("text");
    const std::string message = message_of([&] { certificate_from_json(json); });
    EXPECT_NE(message.find("`" + field.key() + "`"), std::string::npos) << message;
  }
}

TEST(Certificate, TheProofThatMoreStepsAreTooManySurvivesAndIsHeldToTheRun) {
  EXPECT_FALSE(to_json(fixture_certificate()).contains("refused"));
  Certificate c = fixture_certificate();  // 400 steps of ε = 3
  c.steps_planned = 1000;
  c.refused = {401, 3.0007};
  EXPECT_EQ(certificate_from_json(to_json(c)).refused, c.refused);
  EXPECT_EQ(refusal_sentence(*c.refused, 3),
            "401 steps are proved to cost more than the ε = 3 allowed: at least ε = 3.0007.");
  const auto refused = [&](int64_t steps, double epsilon_lower) {
    Certificate wrong = c;
    wrong.refused = {steps, epsilon_lower};
    return message_of([&] { check(wrong); });
  };
  EXPECT_NE(refused(400, 3.0007).find("`refused.steps`"), std::string::npos) << "were taken";
  EXPECT_NE(refused(1001, 3.0007).find("`refused.steps`"), std::string::npos) << "were never planned";
  EXPECT_NE(refused(401, 3).find("`refused.epsilon_lower`"), std::string::npos) << "proves nothing";
  EXPECT_NE(refused(401, kInfinity).find("`refused.epsilon_lower`"), std::string::npos);
  EXPECT_NE(refused(401, kNaN).find("`refused.epsilon_lower`"), std::string::npos);
}

TEST(Certificate, UnknownFieldIsIgnoredSinceFieldsAreOnlyAdded) {
  Json json = to_json(fixture_certificate());
  json["signature"] = "later";
  EXPECT_EQ(certificate_from_json(json).steps, 400);
}

TEST(Certificate, LaterFormatIsRefused) {
  Json json = to_json(fixture_certificate());
  json["format_version"] = 2;
  EXPECT_NE(message_of([&] { certificate_from_json(json); }).find("`format_version` is 2"), std::string::npos);
}

TEST(Certificate, PrivateAndUnsafeMayNotContradict) {
  Json json = to_json(fixture_certificate());
  json["unsafe"] = {"fixed_seed"};
  EXPECT_NE(message_of([&] { certificate_from_json(json); }).find("`private` is true"), std::string::npos);
  json["unsafe"] = Json::array();
  json["private"] = false;
  EXPECT_NE(message_of([&] { certificate_from_json(json); }).find("names no reason"), std::string::npos);
}

TEST(Certificate, UnboundedEpsilonIsNullAndOnlyInAnUnsafeRun) {
  Certificate c = fixture_certificate();
  c.epsilon.reset();
  EXPECT_NE(message_of([&] { to_json(c); }).find("`epsilon`"), std::string::npos);
  c.unsafe = {kNoPrivacy};
  const Json json = to_json(c);
  EXPECT_TRUE(json["epsilon"].is_null());
  EXPECT_EQ(json["private"], false);
  EXPECT_FALSE(certificate_from_json(json).epsilon.has_value());
}

TEST(Certificate, FalseClaimIsRefusedBeforeItIsWritten) {
  struct Case {
    const char* field;
    std::function<void(Certificate&)> spoil;
  };
  const std::vector<Case> cases{
      {"epsilon", [](Certificate& c) { c.epsilon = kInfinity; }},
      {"epsilon", [](Certificate& c) { c.epsilon = kNaN; }},
      {"epsilon", [](Certificate& c) { c.epsilon = -0.1; }},
      {"epsilon", [](Certificate& c) { c.epsilon = 3.0000001; }},  // above the allotment
      {"epsilon_planned", [](Certificate& c) { c.epsilon_planned = kNaN; }},
      {"delta", [](Certificate& c) { c.delta = 1.5; }},
      {"noise_multiplier", [](Certificate& c) { c.noise_multiplier = kInfinity; }},
      {"clip_norm", [](Certificate& c) { c.clip_norm = 0; }},
      {"l2_sensitivity", [](Certificate& c) { c.l2_sensitivity = kNaN; }},
      {"sample_rate", [](Certificate& c) { c.sample_rate = 1.01; }},
      {"public_size", [](Certificate& c) { c.public_size = 0; }},
      {"steps", [](Certificate& c) { c.steps = 401; }},
      {"metrics.test_auc", [](Certificate& c) { c.metrics["test_auc"] = kNaN; }},
      {"accountant", [](Certificate& c) { c.accountant = "moments"; }},
      {"neighbouring_relation", [](Certificate& c) { c.neighbouring_relation = "add-remove"; }},
      {"unit_of_privacy", [](Certificate& c) { c.unit_of_privacy = ""; }},
      {"ledger_row.head_hash", [](Certificate& c) { c.ledger_row.head_hash = ""; }},
      {"model.parameters", [](Certificate& c) { c.model.parameters = 0; }},
      {"dataset.identity", [](Certificate& c) { c.dataset.identity = "md5:00"; }},
      // A plain hash of private data lets anyone test a guess of the file.
      {"dataset.identity", [](Certificate& c) { c.dataset.is_public = false; }},
      {"dataset.counts", [](Certificate& c) { c.dataset.is_public = false, c.dataset.identity = "commitment:00"; }},
  };
  const auto path = test_folder() / "certificate.json";
  for (const Case& row : cases) {
    Certificate c = fixture_certificate();
    row.spoil(c);
    const std::string message = message_of([&] { write_certificate(path, c); });
    EXPECT_NE(message.find("`" + std::string(row.field) + "`"), std::string::npos) << row.field << ": " << message;
    EXPECT_FALSE(std::filesystem::exists(path)) << row.field;
  }
}

TEST(Certificate, CorruptFileIsNamed) {
  const auto path = test_folder() / "certificate.json";
  write_file(path, "{\"epsilon\": 1e999}");  // overflows a double
  EXPECT_NE(message_of([&] { read_certificate(path); }).find(path.string()), std::string::npos);
  write_file(path, "{\"epsilon\": ");
  EXPECT_NE(message_of([&] { read_certificate(path); }).find("not valid JSON"), std::string::npos);
  write_file(path, "[]");
  EXPECT_NE(message_of([&] { read_certificate(path); }).find("one JSON object"), std::string::npos);
  EXPECT_NE(message_of([&] { read_certificate(path.string() + ".none"); }, ErrorKind::io).find(".none"),
            std::string::npos);
}

}  // namespace
}  // namespace sotto::report
