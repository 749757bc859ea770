#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "tests/accountants/ledger_fixture.h"

namespace sotto::accountants {
namespace {

using nlohmann::json;

// A ledger with a row of every kind, and an attacker who may write to the file but not to the certificate.
class LedgerVerifyTest : public LedgerTest {
 protected:
  void SetUp() override {
    LedgerTest::SetUp();
    Ledger ledger = Ledger::open(path_);
    ledger.set_cap("census", 5, 1e-6);
    ledger.reserve(entry_of("a"));
    ledger.charge("a", 1, 1);
    ledger.charge("a", 2, 9);
    ledger.reserve(entry_of("b"));
    ledger.charge("b", 1, 1);
    ledger.release("a");
    ledger.charge("b", 2, 2);
    rows_ = ledger.rows();
    head_ = ledger.head();
  }

  // Tampers with a copy whose triggers are put back afterwards, and verifies it.
  VerifyReport verify_after(const std::string& sql, bool with_head = false) {
    const auto copy = folder_ / "copy.sqlite";
    std::filesystem::remove(copy);
    std::filesystem::copy_file(path_, copy);
    tamper_past_triggers(copy, sql);
    return Ledger::verify(copy, with_head ? std::optional(head_) : std::nullopt);
  }

  static std::string quoted(const std::string& text) {
    std::string out = "'";
    for (const char c : text) out += c == '\'' ? std::string("''") : std::string(1, c);
    return out + "'";
  }

  static std::string set_row(int64_t id, const std::string& payload, const std::string& hash) {
    return "UPDATE entry SET payload = " + quoted(payload) + ", hash = " + quoted(hash) +
           " WHERE id = " + std::to_string(id) + ";";
  }

  // The rows from `first` on, chained and hashed anew as a patient forger would.
  static std::string rewrite(std::vector<LedgerRow> rows, size_t first) {
    std::string sql, previous = first ? rows[first - 1].hash : "";
    for (size_t i = first; i < rows.size(); ++i) {
      json payload = json::parse(rows[i].payload);
      payload["previous"] = previous;
      previous = to_hex(sha256(payload.dump()));
      sql += set_row(rows[i].id, payload.dump(), previous);
    }
    return sql;
  }

  std::vector<LedgerRow> rows_;
  Head head_;
};

TEST_F(LedgerVerifyTest, AnHonestLedgerPassesWithItsHead) {
  const auto report = Ledger::verify(path_, head_);
  EXPECT_TRUE(report.ok) << (report.findings.empty() ? "" : report.findings[0]);
  EXPECT_EQ(report.head, head_);
  EXPECT_TRUE(verify_after("SELECT 1", true).ok) << "the test's own tampering must not be what is found";
}

TEST_F(LedgerVerifyTest, AnEarlierHeadPassesAfterMoreCharges) {
  Ledger::open(path_).charge("b", 3, 3);
  EXPECT_TRUE(Ledger::verify(path_, head_).ok);
}

TEST_F(LedgerVerifyTest, AChangeOfAnyFieldOfAnyRowIsFound) {
  int changes = 0;
  for (const LedgerRow& row : rows_) {
    const json payload = json::parse(row.payload);
    for (const auto& [key, value] : payload.items()) {
      json changed = payload;
      if (value.is_string())
        changed[key] = value.get<std::string>() + "x";
      else if (value.is_number())
        changed[key] = value.get<double>() + 1000;
      else
        changed[key] = "gone";
      const auto report = verify_after(set_row(row.id, changed.dump(), row.hash));
      EXPECT_FALSE(report.ok) << "row " << row.id << " " << key;
      ASSERT_FALSE(report.findings.empty());
      EXPECT_NE(report.findings[0].find("row " + std::to_string(row.id)), std::string::npos) << report.findings[0];
      ++changes;
    }
    EXPECT_FALSE(verify_after(set_row(row.id, row.payload, std::string(64, '0'))).ok) << "hash of row " << row.id;
    EXPECT_FALSE(verify_after(set_row(row.id, row.payload + " ", to_hex(sha256(row.payload + " ")))).ok)
        << "a blank in row " << row.id;
  }
  EXPECT_GT(changes, 50);
}

TEST_F(LedgerVerifyTest, MissingMovedAndSwappedRowsAreFound) {
  for (size_t i = 0; i + 1 < rows_.size(); ++i)
    EXPECT_FALSE(verify_after("DELETE FROM entry WHERE id = " + std::to_string(rows_[i].id)).ok)
        << "row " << rows_[i].id;
  EXPECT_FALSE(verify_after("UPDATE entry SET id = 99 WHERE id = 4").ok);
  for (size_t i = 0; i + 1 < rows_.size(); ++i) {
    const auto& one = rows_[i];
    const auto& two = rows_[i + 1];
    // The unique indexes would stop a swap half way, so the first place is parked.
    EXPECT_FALSE(verify_after("UPDATE entry SET id = 1000 WHERE id = " + std::to_string(one.id) +
                              "; UPDATE entry SET id = " + std::to_string(one.id) +
                              " WHERE id = " + std::to_string(two.id) +
                              "; UPDATE entry SET id = " + std::to_string(two.id) + " WHERE id = 1000")
                     .ok)
        << one.id << " and " << two.id;
  }
}

TEST_F(LedgerVerifyTest, TruncationIsFoundAgainstACertifiedHeadAndOnlyThen) {
  const std::string cut = "DELETE FROM entry WHERE id > " + std::to_string(head_.id - 2);
  EXPECT_TRUE(verify_after(cut).ok) << "the documentation says that this cannot be seen without a head";
  const auto report = verify_after(cut, true);
  EXPECT_FALSE(report.ok);
  EXPECT_NE(report.findings.at(0).find("cut off"), std::string::npos);
}

TEST_F(LedgerVerifyTest, ARewrittenHistoryIsFoundAgainstACertifiedHead) {
  auto rows = rows_;
  json payload = json::parse(rows[2].payload);
  payload["who"] = "somebody else";
  rows[2].payload = payload.dump();
  EXPECT_TRUE(verify_after(rewrite(rows, 2)).ok) << "the documentation says that this cannot be seen without a head";
  const auto report = verify_after(rewrite(rows, 2), true);
  EXPECT_FALSE(report.ok);
  EXPECT_NE(report.findings.at(0).find("rewritten"), std::string::npos) << report.findings[0];
}

TEST_F(LedgerVerifyTest, ARewrittenHistoryThatNoProgramWritesIsFoundWithoutAHead) {
  const auto forged = [&](size_t row, const char* key, const json& value) {
    auto rows = rows_;
    json payload = json::parse(rows[row].payload);
    payload[key] = value;
    rows[row].payload = payload.dump();
    return verify_after(rewrite(rows, row));
  };
  ASSERT_EQ(rows_[4].kind, "charge");
  EXPECT_FALSE(forged(4, "epsilon", 0.001).ok) << "cheaper than its steps cost";
  EXPECT_FALSE(forged(4, "last_step", 5).ok) << "the epsilon no longer fits";
  EXPECT_FALSE(forged(4, "first_step", 3).ok) << "a step left out";
  EXPECT_FALSE(forged(4, "kind", "refund").ok);
  EXPECT_FALSE(forged(4, "run_id", "ghost").ok);
  ASSERT_EQ(rows_[2].kind, "reserve");
  EXPECT_FALSE(forged(2, "reserved_steps", 5).ok) << "more was charged";
  EXPECT_FALSE(forged(2, "epsilon_cap", 1e-3).ok) << "more was spent";
  ASSERT_EQ(rows_[7].kind, "release");
  EXPECT_FALSE(forged(7, "charged_steps", 4).ok) << "a refund";
  EXPECT_FALSE(forged(7, "run_id", "b").ok) << "b is charged afterwards";
}

TEST_F(LedgerVerifyTest, RunsThatTogetherBreakTheirDataSetsRulesAreFoundWithoutAHead) {
  const auto forged = [&](size_t row, const json& changes) {
    auto rows = rows_;
    json payload = json::parse(rows[row].payload);
    payload.update(changes);
    rows[row].payload = payload.dump();
    return verify_after(rewrite(rows, row));
  };
  ASSERT_EQ(rows_[1].kind, "cap");
  const std::string data_set = entry_of("a").data_set;
  EXPECT_TRUE(forged(1, {{"data_set", data_set}, {"epsilon", 1000}}).ok) << "room for both";
  const auto over = forged(1, {{"data_set", data_set}, {"epsilon", 1e-3}});
  EXPECT_FALSE(over.ok);
  EXPECT_NE(over.findings.at(0).find("its cap is 0.001"), std::string::npos) << over.findings[0];
  ASSERT_EQ(rows_[5].kind, "reserve");
  EXPECT_FALSE(forged(5, {{"data_set", "elsewhere"}}).ok) << "the same content under another name";
  EXPECT_FALSE(forged(5, {{"unit_of_privacy", "visit"}}).ok) << "one data set, two units";
  EXPECT_FALSE(forged(5, {{"kind", "cap"}, {"data_set", data_set}, {"epsilon", 1000}}).ok)
      << "a cap after the first run";
  EXPECT_FALSE(forged(0, {{"filter_orders", json::array()}}).ok);
}

TEST_F(LedgerVerifyTest, OfThousandsOfRowsEachIsLookedAt) {
  const std::filesystem::path large = folder_ / "large.sqlite";
  {
    Ledger ledger = Ledger::open(large);
    RunEntry entry = entry_of("a");
    entry.epsilon_cap = 1e6;
    ledger.reserve(entry);
    std::vector<StepRange> steps;
    for (int64_t step = 1; step <= 10'000; ++step) steps.push_back({"a", step, step});
    ledger.charge(steps);
  }
  EXPECT_TRUE(Ledger::verify(large).ok);
  for (const int row : {3, 130, 4096, 4097, 8200, 10'001, 10'002}) {
    const std::string at = " WHERE id = " + std::to_string(row);
    tamper_past_triggers(large, "UPDATE entry SET hash = 'x' || hash" + at);
    const VerifyReport report = Ledger::verify(large);
    ASSERT_FALSE(report.ok) << row;
    EXPECT_EQ(report.findings[0], "row " + std::to_string(row) + " does not match its hash");
    tamper_past_triggers(large, "UPDATE entry SET hash = substr(hash, 2)" + at);
  }
  EXPECT_TRUE(Ledger::verify(large).ok);
}

TEST_F(LedgerVerifyTest, AMissingTriggerIsFoundAndTheLedgerNotOpened) {
  tamper(path_, "DROP TRIGGER no_delete");
  EXPECT_FALSE(Ledger::verify(path_).ok);
  message(ErrorKind::data, [&] { Ledger::open(path_); });
}

TEST_F(LedgerVerifyTest, ABrokenLastRowKeepsTheLedgerShut) {
  tamper_past_triggers(path_,
                       "UPDATE entry SET payload = replace(payload, '\"last_step\":2', '\"last_step\":1') WHERE id = " +
                           std::to_string(head_.id));
  EXPECT_NE(message(ErrorKind::data, [&] { Ledger::open(path_); }).find("does not match its hash"), std::string::npos);
}

TEST_F(LedgerVerifyTest, ADamagedFileIsReportedNotCrashedOn) {
  const auto size = std::filesystem::file_size(path_);
  for (const double share : {0.2, 0.5, 0.9}) {
    const auto copy = folder_ / "copy.sqlite";
    std::filesystem::remove(copy);
    std::filesystem::copy_file(path_, copy);
    std::filesystem::resize_file(copy, static_cast<uintmax_t>(static_cast<double>(size) * share));
    bool found = false;
    try {
      found = !Ledger::verify(copy).ok;
    } catch (const Error& error) {
      found = error.kind() == ErrorKind::data;
    }
    EXPECT_TRUE(found) << share;
  }
}

}  // namespace
}  // namespace sotto::accountants
