#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "accountants/ledger/backup.h"
#include "base/atomic_file.h"
#include "base/hash.h"
#include "tests/accountants/ledger_child.h"
#include "tests/accountants/ledger_faulty_disk.h"
#include "tests/accountants/ledger_fixture.h"

namespace sotto::accountants {
namespace {

class LedgerFaultTest : public LedgerTest {
 protected:
  void SetUp() override {
    LedgerTest::SetUp();
    Ledger ledger = Ledger::open(path_);
    ledger.set_cap("diabetes130", 5, 1e-5);
    ledger.reserve(entry_of("a"));
    ledger.charge("a", 1, 3);
  }
  void put(const std::string& content) {
    for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(path_.string() + suffix);
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << content;
  }

  struct Confirmed {
    int64_t a = 3, b = 0;  // charged steps with a receipt
    bool reserved = false, released = false, done = false;
    ErrorKind kind = ErrorKind::internal;
  };
  // A day's work, as far as it gets: every kind of commit, and the checkpoint when the file is closed.
  Confirmed work() {
    Confirmed got;
    try {
      Ledger ledger = Ledger::open(path_);
      got.a = ledger.charge("a", got.a + 1, got.a + 1).last_step;
      ledger.reserve(entry_of("b"));
      got.reserved = true;
      for (const auto& receipt : ledger.charge({{"a", 5, 5}, {"b", 1, 2}, {"b", 3, 3}}))
        (receipt.first_step == 5 ? got.a : got.b) = receipt.last_step;
      ledger.release("a");
      got.released = got.done = true;
    } catch (const Error& error) {
      got.kind = error.kind();
    }
    return got;
  }
  // Nothing confirmed is lost, nothing is there that was not asked for, and the work can go on.
  void expect_whole(const Confirmed& got, const std::string& where) {
    const auto report = Ledger::verify(path_);
    ASSERT_TRUE(report.ok) << where << ": " << (report.findings.empty() ? "" : report.findings[0]);
    Ledger ledger = Ledger::open(path_);
    const auto a = ledger.run("a"), b = ledger.run("b");
    EXPECT_GE(a->charged_steps, got.a) << where;
    EXPECT_LE(a->charged_steps, 5) << where;
    EXPECT_TRUE(!got.reserved || b) << where;
    EXPECT_EQ(b && b->charged_steps == 3, a->charged_steps == 5) << where << ": a group is there whole or not";
    EXPECT_TRUE(!got.released || a->closed) << where;
    if (!b) ledger.reserve(entry_of("c"));
    const std::string next = b ? "b" : "c";
    const int64_t step = b ? b->charged_steps + 1 : 1;
    EXPECT_EQ(ledger.charge(next, step, step).last_step, step) << where;
  }
};

TEST_F(LedgerFaultTest, APowerCutAtAnyWriteLosesNothingConfirmed) {
  const std::string before = read_file(path_);
  std::mt19937 rng(7);
  using Unsynced = FaultyDisk::Unsynced;
  for (const Unsynced unsynced : {Unsynced::lost, Unsynced::kept, Unsynced::by_chance}) {
    int cuts = 0;
    for (bool cut = true; cut; ++cuts) {
      put(before);
      std::optional<FaultyDisk> disk(std::in_place, FaultyDisk::Fault::power_cut, cuts + 1);
      const Confirmed got = work();
      cut = disk->failed();
      disk->restart(unsynced, rng);
      disk.reset();
      expect_whole(got, "cut at write " + std::to_string(cuts + 1));
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(cuts, 40) << "the disk must have been written to";
  }
}

TEST_F(LedgerFaultTest, AFullDiskIsSaidAndTheSameLedgerGoesOnOnceThereIsRoom) {
  const std::string before = read_file(path_);
  int failures = 0;
  for (int at = 1;; ++at) {
    put(before);
    FaultyDisk disk(FaultyDisk::Fault::full, at);
    std::optional<Ledger> ledger;
    int64_t charged = 3;
    try {
      ledger.emplace(Ledger::open(path_));
      for (; charged < 8; ++charged) ledger->charge("a", charged + 1, charged + 1);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::io) << error.what();
      EXPECT_NE(std::string(error.what()).find("no space left"), std::string::npos) << error.what();
    }
    if (!disk.failed()) break;
    ++failures;
    disk.free_space();
    if (!ledger) ledger.emplace(Ledger::open(path_));
    EXPECT_EQ(ledger->run("a")->charged_steps, charged) << at;
    EXPECT_EQ(ledger->charge("a", charged + 1, charged + 1).last_step, charged + 1) << at;
    EXPECT_TRUE(Ledger::verify(path_).ok) << at;
  }
  EXPECT_GT(failures, 10);
}

TEST_F(LedgerFaultTest, ADamagedPageIsFoundOrTouchesNoRow) {
  const std::string whole = read_file(path_);
  const auto rows = Ledger::open(path_).rows();
  std::mt19937 rng(11);
  int found = 0;
  for (size_t page = 0; page < whole.size() / 4096; ++page)
    for (int trial = 0; trial < 12; ++trial) {
      std::string damaged = whole;
      for (int bytes = 0; bytes < 64; ++bytes)
        damaged[page * 4096 + rng() % 4096] ^= static_cast<char>(1 + rng() % 255);
      put(damaged);
      try {
        if (!Ledger::verify(path_).ok) {
          ++found;
          continue;
        }
        const auto now = Ledger::open(path_).rows();
        ASSERT_EQ(now.size(), rows.size()) << page;
        for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(now[i].payload, rows[i].payload) << page;
      } catch (const Error& error) {
        EXPECT_TRUE(error.kind() == ErrorKind::data || error.kind() == ErrorKind::io) << error.what();
        ++found;
      }
    }
  EXPECT_GT(found, 30);
}

TEST_F(LedgerFaultTest, AnIndexThatHidesAChargeIsFound) {
  ASSERT_EQ(Ledger::open(path_).rows()[3].kind, "charge");
  tamper(path_,
         "DROP INDEX by_run; CREATE INDEX by_run ON entry (run_id, kind, last_step) WHERE id < 4;"
         "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = "
         "'CREATE INDEX by_run ON entry (run_id, kind, last_step)' WHERE name = 'by_run'");
  ASSERT_EQ(Ledger::open(path_).run("a")->charged_steps, 0) << "the ledger is deceived";
  const auto report = Ledger::verify(path_);
  EXPECT_FALSE(report.ok);
  EXPECT_NE(report.findings.at(0).find("by_run"), std::string::npos) << report.findings[0];
}

TEST_F(LedgerFaultTest, AnEventOfANewerVersionIsNamedAndNothingIsSpent) {
  const auto rows = Ledger::open(path_).rows();
  auto payload = nlohmann::json::parse(rows[2].payload);
  payload.update({{"id", rows.size() + 1}, {"previous", rows.back().hash}, {"run_id", "newer"}});
  payload["event"] = {{"mechanism", "mechanism_of_tomorrow"}};
  tamper(path_, "INSERT INTO entry (id, payload, hash) VALUES (" + std::to_string(rows.size() + 1) + ", '" +
                    payload.dump() + "', '" + to_hex(sha256(payload.dump())) + "')");
  Ledger ledger = Ledger::open(path_);
  for (const std::string& why : {message(ErrorKind::data, [&] { ledger.run("newer"); }),
                                 message(ErrorKind::data, [&] { ledger.charge("newer", 1, 1); }),
                                 message(ErrorKind::data, [&] { ledger.reserve(entry_of("b")); })}) {
    EXPECT_NE(why.find("newer"), std::string::npos) << why;
    EXPECT_NE(why.find("mechanism_of_tomorrow"), std::string::npos) << why;
  }
  EXPECT_EQ(ledger.charge("a", 4, 4).last_step, 4) << "what is understood goes on";
  EXPECT_FALSE(Ledger::verify(path_).ok);
}

TEST_F(LedgerFaultTest, EightProcessesSpendAtOnceAndEveryStepIsThereOnce) {
  std::vector<Child> children;
  for (int i = 0; i < 8; ++i) children.push_back(start_child({"charge", path_, "a", "40"}));
  for (const Child& each : children) {
    const Ended ended = wait_for(each);
    EXPECT_EQ(ended.code, 0) << ended.err;
  }
  EXPECT_EQ(Ledger::open(path_).run("a")->charged_steps, 3 + 8 * 40);
  EXPECT_EQ(Ledger::open(path_).rows().size(), 4u + 8 * 40);
  EXPECT_TRUE(Ledger::verify(path_).ok);
}

TEST_F(LedgerFaultTest, ACopyOfALedgerInUseIsWholeAndOverwritesNothing) {
  const Child busy = start_child({"charge", path_, "a", "300"});
  std::vector<Head> heads;
  for (int i = 0; i < 5; ++i) {
    const auto copy = folder_ / ("copy" + std::to_string(i));
    back_up(path_, copy);
    const auto report = Ledger::verify(copy);
    EXPECT_TRUE(report.ok);
    heads.push_back(report.head);
  }
  EXPECT_EQ(wait_for(busy).code, 0);
  for (const Head& each : heads) EXPECT_TRUE(Ledger::verify(path_, each).ok) << "each copy is a beginning of the whole";
  const std::string before = read_file(folder_ / "copy0");
  message(ErrorKind::io, [&] { back_up(path_, folder_ / "copy0"); });
  EXPECT_EQ(read_file(folder_ / "copy0"), before);
  EXPECT_NE(message(ErrorKind::io, [&] { back_up(folder_ / "copy0", path_); }).find("never goes over"),
            std::string::npos);
  back_up(folder_ / "copy4", folder_ / "restored.sqlite");
  Ledger restored = Ledger::open(folder_ / "restored.sqlite");
  const int64_t next = restored.run("a")->charged_steps + 1;
  EXPECT_EQ(restored.charge("a", next, next).last_step, next);
  EXPECT_EQ(std::filesystem::status(folder_ / "restored.sqlite").permissions(), std::filesystem::perms(0600));
  message(ErrorKind::io, [&] { back_up(folder_ / "none", folder_ / "x"); });
  EXPECT_FALSE(std::filesystem::exists(folder_ / "x"));
}

}  // namespace
}  // namespace sotto::accountants
