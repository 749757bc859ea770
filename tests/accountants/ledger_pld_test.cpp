#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "tests/accountants/ledger_fixture.h"

namespace sotto::accountants {
namespace {

using nlohmann::json;

// Runs that "pld" limits: by their reservation, which is a schedule fixed before its first step.
class LedgerPldTest : public LedgerTest {
 protected:
  static RunEntry pld_run(const std::string& run_id) {
    RunEntry entry = entry_of(run_id);
    entry.accountant = "pld";
    return entry;
  }

  // A ledger with one run, one of whose rows a forger changed before hashing all anew.
  VerifyReport forged(size_t row, const json& changes) {
    std::vector<LedgerRow> rows = Ledger::open_existing(path_).rows();
    json payload = json::parse(rows.at(row).payload);
    payload.update(changes);
    rows[row].payload = payload.dump();
    std::string sql = "DROP TRIGGER no_update;", previous = row ? rows[row - 1].hash : "";
    for (size_t i = row; i < rows.size(); ++i) {
      json each = json::parse(rows[i].payload);
      each["previous"] = previous;
      previous = to_hex(sha256(each.dump()));
      sql += "UPDATE entry SET payload = '" + each.dump() + "', hash = '" + previous +
             "' WHERE id = " + std::to_string(rows[i].id) + ";";
    }
    const auto copy = folder_ / "copy.sqlite";
    std::filesystem::remove(copy);
    std::filesystem::copy_file(path_, copy);
    sqlite3* handle = nullptr;
    sqlite3_open(copy.c_str(), &handle);
    std::string trigger;
    sqlite3_exec(
        handle, "SELECT sql FROM sqlite_schema WHERE name = 'no_update'",
        [](void* text, int, char** values, char**) {
          *static_cast<std::string*>(text) = values[0];
          return 0;
        },
        &trigger, nullptr);
    sqlite3_close(handle);
    tamper(copy, sql + trigger);
    return Ledger::verify(copy);
  }

  static bool says(const VerifyReport& report, const std::string& what) {
    for (const auto& finding : report.findings)
      if (finding.find(what) != std::string::npos) return true;
    return false;
  }
};

TEST_F(LedgerPldTest, ARunTakesTheReferencesStepsAndNotOneMoreWithTheProofInItsReservation) {
  Ledger ledger = Ledger::open(path_);
  ledger.reserve(pld_run("run"));
  const RunState state = *ledger.run("run");
  EXPECT_EQ(state.reserved_steps, 1202) << "the reference's; RDP ends at 881";
  ASSERT_TRUE(state.refused);
  EXPECT_EQ(state.refused->steps, 1203);
  EXPECT_GT(state.refused->epsilon_lower, 2);
  ledger.charge("run", 1, 1201);
  const ChargeReceipt last = ledger.charge("run", 1202, 1202);
  EXPECT_LE(last.epsilon, 2);
  EXPECT_GT(last.epsilon, 1.998) << "the reference's bracket of 1,202 steps is within 1e-3 of the budget";
  EXPECT_NE(
      message(ErrorKind::budget_exhausted, [&] { ledger.charge("run", 1203, 1203); }).find("1202 is the last one"),
      std::string::npos);
  ledger.release("run");
  EXPECT_EQ(ledger.run("run")->epsilon, last.epsilon);
  const VerifyReport report = Ledger::verify(path_);
  EXPECT_TRUE(report.ok) << (report.findings.empty() ? "" : report.findings[0]);
}

TEST_F(LedgerPldTest, WhatItsChargesSayNeverFallsAndALaterProcessSaysTheSame) {
  double last = 0;
  {
    Ledger ledger = Ledger::open(path_);
    ledger.reserve(pld_run("run"));
    for (int64_t step = 1; step <= 40; ++step) {
      const double epsilon = ledger.charge("run", step, step).epsilon;
      EXPECT_GE(epsilon, last) << step;
      last = epsilon;
    }
    EXPECT_EQ(ledger.run("run")->epsilon, last);
  }
  Ledger later = Ledger::open_existing(path_);
  EXPECT_EQ(later.run("run")->epsilon, last);
  EXPECT_EQ(later.epsilon("run", 40), last);
  EXPECT_EQ(later.epsilon("run", 0), 0);
  EXPECT_GE(later.charge("run", 41, 60).epsilon, last);
  EXPECT_TRUE(Ledger::verify(path_).ok);
}

TEST_F(LedgerPldTest, APlanThatFitsNeedsNoProof) {
  Ledger ledger = Ledger::open(path_);
  RunEntry entry = pld_run("run");
  entry.planned_steps = 1000;
  ledger.reserve(entry);
  EXPECT_EQ(ledger.run("run")->reserved_steps, 1000);
  EXPECT_FALSE(ledger.run("run")->refused);
  EXPECT_FALSE(json::parse(ledger.rows("run").at(0).payload).contains("refused"));
}

TEST_F(LedgerPldTest, ADataSetsCapStaysWithTheFilterWhateverLimitsARun) {
  Ledger ledger = Ledger::open(path_);
  ledger.set_cap("diabetes130", 2.1, 1e-5);  // the filter adds runs up by RDP: 1,202 steps are beyond it
  EXPECT_NE(message(ErrorKind::budget_exhausted, [&] { ledger.reserve(pld_run("run")); }).find("its cap is 2.1"),
            std::string::npos);
  RunEntry shorter = pld_run("run");
  shorter.planned_steps = 500;
  ledger.reserve(shorter);
}

TEST_F(LedgerPldTest, VerifyTakesAnotherMachinesLastDigitsAndRefusesAnEpsilonThatIsTooSmall) {
  {
    Ledger ledger = Ledger::open(path_);
    ledger.reserve(pld_run("run"));
    ledger.charge("run", 1, 500);
  }
  const auto rows = Ledger::open_existing(path_).rows();
  const double said = json::parse(rows.at(2).payload)["epsilon"];
  EXPECT_TRUE(forged(2, {{"epsilon", said}}).ok) << "the forger's own tampering must not be what is found";
  EXPECT_TRUE(forged(2, {{"epsilon", said * (1 + 1e-13)}}).ok);
  EXPECT_TRUE(forged(2, {{"epsilon", said * (1 - 1e-13)}}).ok);
  EXPECT_TRUE(says(forged(2, {{"epsilon", said * 0.99}}), "its steps cost"));
  EXPECT_TRUE(says(forged(2, {{"epsilon", said * 1.1}}), "its steps cost"));
  EXPECT_TRUE(says(forged(2, {{"last_step", 700}}), "its steps cost"));
}

TEST_F(LedgerPldTest, VerifyFindsAReservationBeyondItsCapAndAProofThatDoesNotHold) {
  {
    Ledger ledger = Ledger::open(path_);
    ledger.reserve(pld_run("run"));
  }
  EXPECT_TRUE(forged(1, json::object()).ok);
  EXPECT_TRUE(says(forged(1, {{"reserved_steps", 1300}, {"refused", {{"steps", 1400}, {"epsilon_lower", 2.01}}}}),
                   "reserves 1300 steps, which cost"));
  EXPECT_TRUE(says(forged(1, {{"refused", {{"steps", 1203}, {"epsilon_lower", 2.5}}}}), "which does not hold"));
  EXPECT_TRUE(says(forged(1, {{"refused", {{"steps", 1100}, {"epsilon_lower", 2.01}}}}), "which does not hold"));
  EXPECT_TRUE(says(forged(1, {{"refused", {{"steps", 1203}, {"epsilon_lower", 1.9}}}}), "which does not hold"));
  EXPECT_TRUE(says(forged(1, {{"accountant", "rdp"}, {"reserved_steps", 881}}), "by rdp"));
}

TEST_F(LedgerPldTest, WhatPldHasNoBoundForIsRefusedBeforeAnythingIsWritten) {
  Ledger ledger = Ledger::open(path_);
  RunEntry entry = pld_run("run");
  entry.event = {PoissonSampledDiscreteGaussian{1.0, 0.01}};
  EXPECT_NE(message(ErrorKind::configuration, [&] { ledger.reserve(entry); }).find("no bound"), std::string::npos);
  entry = pld_run("run");
  entry.accountant = "tcdp";
  EXPECT_NE(message(ErrorKind::configuration, [&] { ledger.reserve(entry); }).find("pld"), std::string::npos);
  EXPECT_EQ(ledger.rows().size(), 1u);
}

}  // namespace
}  // namespace sotto::accountants
