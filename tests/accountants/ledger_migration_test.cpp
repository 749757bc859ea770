#include <sqlite3.h>

#include "tests/accountants/ledger_child.h"
#include "tests/accountants/ledger_fixture.h"

namespace sotto::accountants {
namespace {

// data/ledger_format_1.sqlite was written by the program of format 1 (commit b18646c): a cap of 4, the run `first` of 5
// steps, released, and `second` of 3, open.
class LedgerMigrationTest : public LedgerTest {
 protected:
  void SetUp() override {
    LedgerTest::SetUp();
    std::filesystem::copy_file(std::filesystem::path(SOTTO_SOURCE) / "tests/accountants/data/ledger_format_1.sqlite",
                               path_);
    std::filesystem::permissions(path_, std::filesystem::perms(0600));
  }
  // The head that the older program reported.
  const Head head_{13, "4fb62dc0d867cb03d4c85098f4f0a58d1626ef48d20fe881d94b899aef6c4c42"};
};

TEST_F(LedgerMigrationTest, AnOlderLedgerVerifiesUntouched) {
  const auto size = std::filesystem::file_size(path_);
  const auto report = Ledger::verify(path_, head_);
  EXPECT_TRUE(report.ok) << (report.findings.empty() ? "" : report.findings[0]);
  EXPECT_EQ(report.head, head_);
  EXPECT_EQ(std::filesystem::file_size(path_), size);
}

TEST_F(LedgerMigrationTest, AnOlderLedgerIsMigratedWithEveryRowAsItWas) {
  Ledger ledger = Ledger::open(path_);
  const auto rows = ledger.rows();
  ASSERT_EQ(rows.size(), 14u);
  EXPECT_EQ(rows[12].hash, head_.hash);
  EXPECT_EQ(rows[13].kind, "migrate");
  EXPECT_EQ(ledger.cap("diabetes130")->epsilon, 4);
  EXPECT_TRUE(ledger.run("first")->closed);
  EXPECT_EQ(ledger.run("first")->charged_steps, 5);
  EXPECT_EQ(ledger.run("second")->charged_steps, 3);
  EXPECT_EQ(ledger.charge("second", 4, 4).last_step, 4);
  const auto report = Ledger::verify(path_, head_);
  EXPECT_TRUE(report.ok) << (report.findings.empty() ? "" : report.findings[0]);
  EXPECT_EQ(Ledger::open(path_).rows().size(), 15u) << "once";
}

TEST_F(LedgerMigrationTest, AMigratedLedgerCanHaveAnOwner) {
  const SigningKey owner = SigningKey::generate();
  Ledger ledger = Ledger::open(path_);
  ledger.sign_with(owner);
  ledger.set_owner("Olga");
  ledger.release("second");
  const auto report = Ledger::verify(path_, head_);
  EXPECT_TRUE(report.ok) << (report.findings.empty() ? "" : report.findings[0]);
  EXPECT_EQ(report.signatures, 2);
}

TEST_F(LedgerMigrationTest, AKillInTheMiddleLeavesTheOldFormatWhole) {
  ASSERT_TRUE(wait_for(start_child({"create", path_}, "ledger.migrate.before_commit")).killed);
  EXPECT_TRUE(Ledger::verify(path_, head_).ok);
  EXPECT_EQ(Ledger::verify(path_).head, head_);
  EXPECT_EQ(Ledger::open(path_).rows().size(), 14u);
}

TEST_F(LedgerMigrationTest, AnAlteredOlderLedgerIsNotMigrated) {
  tamper(path_, "DROP TRIGGER no_delete");
  EXPECT_NE(message(ErrorKind::data, [&] { Ledger::open(path_); }).find("was altered"), std::string::npos);
  EXPECT_FALSE(Ledger::verify(path_).ok);
}

TEST_F(LedgerMigrationTest, TwoProcessesMayMigrateAtOnce) {
  const Child one = start_child({"create", path_}), two = start_child({"create", path_});
  for (const Child& each : {one, two}) {
    const Ended ended = wait_for(each);
    EXPECT_EQ(ended.code, 0) << ended.err;
  }
  EXPECT_EQ(Ledger::open(path_).rows().size(), 14u);
  EXPECT_TRUE(Ledger::verify(path_, head_).ok);
}

}  // namespace
}  // namespace sotto::accountants
