#include "accountants/ledger.h"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/accountants/ledger_child.h"
#include "tests/accountants/ledger_fixture.h"

namespace sotto::accountants {
namespace {

TEST_F(LedgerTest, AChargeIsThereForWhoeverOpensTheFileNext) {
  ChargeReceipt receipt;
  {
    Ledger ledger = Ledger::open(path_);
    ledger.reserve(entry_of("a"));
    ledger.charge("a", 1, 1);
    receipt = ledger.charge("a", 2, 2);
  }
  Ledger ledger = Ledger::open(path_);
  const auto state = ledger.run("a");
  ASSERT_TRUE(state);
  EXPECT_EQ(state->charged_steps, 2);
  EXPECT_FALSE(state->closed);
  EXPECT_EQ(state->epsilon, receipt.epsilon);
  EXPECT_EQ(ledger.head(), (Head{receipt.row_id, receipt.hash}));
  const auto accountant = make_accountant("rdp", NeighbouringRelation::add_remove);
  accountant->compose(Event{PoissonSampledGaussian{1.0, 0.01}}, 2);
  EXPECT_EQ(receipt.epsilon, accountant->epsilon(1e-5));
  EXPECT_TRUE(Ledger::verify(path_).ok);
}

TEST_F(LedgerTest, AReservationReadsBackAsItWasMade) {
  RunEntry entry = entry_of("ü \"quoted\" 🙂");
  entry.epsilon_cap = 0.1 + 0.2;
  entry.event.mechanism = Gaussian{70.0 / 3};
  entry.planned_steps = 7;
  Ledger::open(path_).reserve(entry);
  const auto state = Ledger::open(path_).run(entry.run_id);
  ASSERT_TRUE(state);
  const RunEntry& got = state->entry;
  EXPECT_EQ(std::tie(got.run_id, got.who, got.data_set, got.data_hash, got.unit_of_privacy, got.relation,
                     got.accountant, got.privacy_hash, got.epsilon_cap, got.delta, got.planned_steps),
            std::tie(entry.run_id, entry.who, entry.data_set, entry.data_hash, entry.unit_of_privacy, entry.relation,
                     entry.accountant, entry.privacy_hash, entry.epsilon_cap, entry.delta, entry.planned_steps));
  EXPECT_EQ(got.event, entry.event);
}

TEST_F(LedgerTest, OnlyItsOwnerCanReadIt) {
  Ledger ledger = Ledger::open(path_);
  ledger.reserve(entry_of("a"));
  for (const auto& file : std::filesystem::directory_iterator(folder_)) {
    struct stat info {};
    ASSERT_EQ(stat(file.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u) << file.path();
  }
}

TEST_F(LedgerTest, AStepIsChargedOnceAndInOrder) {
  Ledger ledger = Ledger::open(path_);
  ledger.reserve(entry_of("a"));
  ledger.charge("a", 1, 3);
  const auto rows = ledger.rows().size();
  for (const auto& [first, last] : {std::pair{3, 3}, {1, 1}, {2, 5}, {5, 5}, {0, 4}, {4, 3}, {-1, -1}})
    message(ErrorKind::invalid_argument, [&, first = first, last = last] { ledger.charge("a", first, last); });
  EXPECT_NE(message(ErrorKind::invalid_argument, [&] { ledger.charge("a", 3, 3); }).find("starts at 4, not at 3"),
            std::string::npos);
  EXPECT_EQ(ledger.rows().size(), rows) << "a refused charge must write nothing";
  EXPECT_EQ(ledger.charge("a", 4, 4).last_step, 4);
}

TEST_F(LedgerTest, TheStepPastTheBudgetIsRefusedAndLeavesNoRow) {
  Ledger ledger = Ledger::open(path_);
  ledger.reserve(entry_of("a"));
  const int64_t last = max_steps(2.0, 1e-5, 1.0, 0.01);
  EXPECT_EQ(ledger.run("a")->reserved_steps, last);
  EXPECT_LE(ledger.charge("a", 1, last - 1).epsilon, 2.0);
  message(ErrorKind::budget_exhausted, [&] { ledger.charge("a", last, last + 1); });
  const auto receipt = ledger.charge("a", last, last);
  EXPECT_LE(receipt.epsilon, 2.0);
  const auto rows = ledger.rows().size();
  const std::string why = message(ErrorKind::budget_exhausted, [&] { ledger.charge("a", last + 1, last + 1); });
  EXPECT_NE(why.find("would spend epsilon 2.0"), std::string::npos) << why;
  EXPECT_EQ(ledger.rows().size(), rows);
  EXPECT_EQ(ledger.head().hash, receipt.hash);
}

TEST_F(LedgerTest, NoStepBeyondThePlanIsCharged) {
  Ledger ledger = Ledger::open(path_);
  RunEntry entry = entry_of("a");
  entry.planned_steps = 10;
  ledger.reserve(entry);
  ledger.charge("a", 1, 10);
  EXPECT_NE(message(ErrorKind::budget_exhausted, [&] { ledger.charge("a", 11, 11); }).find("10 steps reserved"),
            std::string::npos);
}

TEST_F(LedgerTest, ABlockIsWhollySpent) {
  Ledger ledger = Ledger::open(path_);
  ledger.reserve(entry_of("a"));
  ledger.reserve(entry_of("b"));
  const double block = ledger.charge("a", 1, 50).epsilon;
  for (int step = 1; step < 50; ++step) ledger.charge("b", step, step);
  EXPECT_EQ(ledger.charge("b", 50, 50).epsilon, block);
}

TEST_F(LedgerTest, ReleaseClosesTheRunAndRefundsNothingCharged) {
  Ledger ledger = Ledger::open(path_);
  ledger.reserve(entry_of("a"));
  ledger.charge("a", 1, 20);
  const double before = ledger.spent("diabetes130", 1e-5);
  ledger.release("a");
  EXPECT_TRUE(ledger.run("a")->closed);
  EXPECT_EQ(ledger.run("a")->charged_steps, 20);
  EXPECT_EQ(ledger.spent("diabetes130", 1e-5), before);
  EXPECT_NE(message(ErrorKind::invalid_argument, [&] { ledger.charge("a", 21, 21); }).find("closed"),
            std::string::npos);
  message(ErrorKind::invalid_argument, [&] { ledger.release("a"); });
  message(ErrorKind::invalid_argument, [&] { ledger.reserve(entry_of("a")); });
}

TEST_F(LedgerTest, UnknownRunsAreNamed) {
  Ledger ledger = Ledger::open(path_);
  EXPECT_FALSE(ledger.run("ghost"));
  EXPECT_NE(message(ErrorKind::invalid_argument, [&] { ledger.charge("ghost", 1, 1); }).find("ghost"),
            std::string::npos);
  message(ErrorKind::invalid_argument, [&] { ledger.release("ghost"); });
}

TEST_F(LedgerTest, WhatCannotBeAccountedIsNotReserved) {
  Ledger ledger = Ledger::open(path_);
  const auto refused = [&](ErrorKind kind, auto change) {
    RunEntry entry = entry_of("a");
    change(entry);
    const std::string why = message(kind, [&] { ledger.reserve(entry); });
    EXPECT_FALSE(ledger.run("a"));
    return why;
  };
  refused(ErrorKind::invalid_argument, [](RunEntry& e) { e.run_id = ""; });
  refused(ErrorKind::invalid_argument, [](RunEntry& e) { e.unit_of_privacy = ""; });
  refused(ErrorKind::invalid_argument, [](RunEntry& e) { e.who = "\xff\xfe"; });
  refused(ErrorKind::invalid_argument, [](RunEntry& e) { e.epsilon_cap = INFINITY; });
  refused(ErrorKind::invalid_argument, [](RunEntry& e) { e.epsilon_cap = NAN; });
  refused(ErrorKind::invalid_argument, [](RunEntry& e) { e.delta = 0; });
  refused(ErrorKind::invalid_argument, [](RunEntry& e) { e.planned_steps = 0; });
  refused(ErrorKind::configuration, [](RunEntry& e) { e.accountant = "guess"; });
  refused(ErrorKind::configuration, [](RunEntry& e) { e.relation = NeighbouringRelation::replace_one; });
  refused(ErrorKind::configuration, [](RunEntry& e) { e.event.mechanism = Gaussian{-1}; });
  refused(ErrorKind::budget_exhausted, [](RunEntry& e) { e.event.mechanism = Gaussian{0}; });
  const auto why = refused(ErrorKind::budget_exhausted, [](RunEntry& e) { e.epsilon_cap = 0.01; });
  EXPECT_NE(why.find("may spend 0.01"), std::string::npos) << why;
}

TEST_F(LedgerTest, RunsOnOneDataSetAddUpByCurve) {
  Ledger ledger = Ledger::open(path_);
  ledger.reserve(entry_of("a"));
  RunEntry other = entry_of("b");
  other.event.mechanism = PoissonSampledGaussian{2.0, 0.05};
  ledger.reserve(other);
  RunEntry elsewhere = entry_of("c");
  elsewhere.data_set = "census";
  elsewhere.data_hash = "cc33";
  ledger.reserve(elsewhere);
  ledger.charge("a", 1, 100);
  ledger.charge("b", 1, 40);
  ledger.charge("c", 1, 500);
  const auto accountant = make_accountant("rdp", NeighbouringRelation::add_remove);
  accountant->compose(Event{PoissonSampledGaussian{1.0, 0.01}}, 100);
  accountant->compose(Event{PoissonSampledGaussian{2.0, 0.05}}, 40);
  EXPECT_NEAR(ledger.spent("diabetes130", 1e-6), accountant->epsilon(1e-6), 1e-12);
  EXPECT_EQ(ledger.spent("nobody", 1e-6), 0);
  EXPECT_EQ(ledger.run_ids(), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(ledger.data_sets(), (std::vector<std::string>{"census", "diabetes130"}));
}

TEST_F(LedgerTest, ACapHoldsForAllRunsTogetherAndReleaseGivesBackTheUncharged) {
  Ledger ledger = Ledger::open(path_);
  ledger.set_cap("diabetes130", 3, 1e-5);
  EXPECT_EQ(ledger.cap("diabetes130")->epsilon, 3);
  RunEntry entry = entry_of("a");
  entry.planned_steps = 800;
  ledger.reserve(entry);
  entry.run_id = "b";
  const auto rows = ledger.rows().size();
  int fitting = 0;
  std::string why;
  for (; fitting < 10; ++fitting) {
    entry.run_id = "b" + std::to_string(fitting);
    try {
      ledger.reserve(entry);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::budget_exhausted);
      why = error.what();
      break;
    }
  }
  ASSERT_LT(fitting, 10) << "the cap never held";
  EXPECT_NE(why.find("its cap is 3"), std::string::npos) << why;
  EXPECT_EQ(ledger.rows().size(), rows + fitting) << "a refused reservation must write nothing";
  // What all reservations could spend together stays below the cap, by an accountant that knows nothing of the filter.
  const auto accountant = make_accountant("rdp", NeighbouringRelation::add_remove);
  accountant->compose(entry.event, 800 * (1 + fitting));
  EXPECT_LE(accountant->epsilon(1e-5), 3);
  // A released run that charged nothing frees the place of a like one; a charged one does not.
  ledger.charge("a", 1, 800);
  if (fitting > 0) {
    ledger.charge("b0", 1, 800);
    ledger.release("b0");
  }
  ledger.release("a");
  entry.run_id = "after";
  message(ErrorKind::budget_exhausted, [&] { ledger.reserve(entry); });
}

TEST_F(LedgerTest, AReleasedReservationMakesRoomUnderTheCap) {
  Ledger ledger = Ledger::open(path_);
  ledger.set_cap("diabetes130", 2.5, 1e-5);
  RunEntry entry = entry_of("a");
  entry.planned_steps = 850;
  ledger.reserve(entry);
  entry.run_id = "b";
  message(ErrorKind::budget_exhausted, [&] { ledger.reserve(entry); });
  ledger.release("a");
  ledger.reserve(entry);
  EXPECT_TRUE(ledger.run("b"));
}

TEST_F(LedgerTest, ACapIsSetOnceAndBeforeTheFirstRun) {
  Ledger ledger = Ledger::open(path_);
  ledger.set_cap("x", 3, 1e-5);
  message(ErrorKind::invalid_argument, [&] { ledger.set_cap("x", 4, 1e-5); });
  ledger.reserve(entry_of("a"));
  message(ErrorKind::invalid_argument, [&] { ledger.set_cap("diabetes130", 4, 1e-5); });
  message(ErrorKind::invalid_argument, [&] { ledger.set_cap("y", INFINITY, 1e-5); });
  message(ErrorKind::invalid_argument, [&] { ledger.set_cap("y", 1, 1); });
  EXPECT_FALSE(ledger.cap("diabetes130"));
}

TEST_F(LedgerTest, TheSamePeopleCannotHideBehindAnotherNameOrUnit) {
  Ledger ledger = Ledger::open(path_);
  ledger.reserve(entry_of("a"));
  RunEntry entry = entry_of("b");
  entry.data_set = "fresh_name";
  EXPECT_NE(message(ErrorKind::invalid_argument, [&] { ledger.reserve(entry); }).find("as data set diabetes130"),
            std::string::npos);
  entry = entry_of("b");
  entry.unit_of_privacy = "encounter_id";
  EXPECT_NE(message(ErrorKind::invalid_argument, [&] { ledger.reserve(entry); }).find("per patient_nbr"),
            std::string::npos);
}

TEST_F(LedgerTest, WhatIsNoLedgerIsRefusedAndUntouched) {
  const auto refused = [&](const std::string& content) {
    std::ofstream(path_, std::ios::binary) << content;
    const std::string why = message(ErrorKind::data, [&] { Ledger::open(path_); });
    EXPECT_NE(why.find(path_.string()), std::string::npos) << why;
    message(ErrorKind::data, [&] { Ledger::verify(path_); });
    std::ifstream in(path_, std::ios::binary);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), content);
    std::filesystem::remove(path_);
    return why;
  };
  EXPECT_NE(refused("these are the notes of the last meeting, not a database\n").find("not a ledger"),
            std::string::npos);
  EXPECT_NE(refused("").find("is empty"), std::string::npos) << "a ledger cut to nothing must not become a new one";
  tamper(path_, "CREATE TABLE t (x)");
  EXPECT_NE(message(ErrorKind::data, [&] { Ledger::open(path_); }).find("not a ledger"), std::string::npos);
}

TEST_F(LedgerTest, PathsThatCannotWorkSayWhy) {
  EXPECT_NE(message(ErrorKind::io, [&] { Ledger::open(folder_); }).find("is not a file"), std::string::npos);
  EXPECT_NE(message(ErrorKind::io, [&] { Ledger::open(folder_ / "none" / "ledger"); }).find("No such file"),
            std::string::npos);
  EXPECT_NE(message(ErrorKind::io, [&] { Ledger::open(std::filesystem::path("/proc/ledger.sqlite")); }).find("/proc/ledger.sqlite"),
            std::string::npos)
      << "not even root may write there";
  message(ErrorKind::io, [&] { Ledger::open_existing(path_); });
  message(ErrorKind::io, [&] { Ledger::verify(path_); });
  EXPECT_TRUE(std::filesystem::is_empty(folder_)) << "nothing may be left behind";
}

TEST_F(LedgerTest, ALogWithoutItsLedgerIsNotStartedAfresh) {
  std::ofstream(path_.string() + "-wal") << "log";
  EXPECT_NE(message(ErrorKind::io, [&] { Ledger::open(path_); }).find("is gone"), std::string::npos);
}

TEST_F(LedgerTest, AReadOnlyFolderIsReportedAndStillVerified) {
  Ledger::open(path_).reserve(entry_of("a"));
  std::filesystem::permissions(path_, std::filesystem::perms(0444));
  std::filesystem::permissions(folder_, std::filesystem::perms(0555));
  for (const auto& [verb, path] : {std::pair{"create", path_}, {"create", folder_ / "new"}}) {
    const Ended ended = wait_for(start_child({"as_nobody", path, verb}));
    EXPECT_EQ(ended.code, 1);
    EXPECT_NE(ended.err.find(path.string()), std::string::npos) << ended.err;
    EXPECT_NE(ended.err.find("ledger.path"), std::string::npos) << "the way out: " << ended.err;
  }
  const Ended ended = wait_for(start_child({"as_nobody", path_, "verify"}));
  EXPECT_EQ(ended.code, 0) << ended.err;
  std::filesystem::permissions(folder_, std::filesystem::perms(0755));
}

TEST_F(LedgerTest, ANewerFormatIsRefused) {
  Ledger::open(path_);
  tamper(path_, "PRAGMA user_version = 3");
  EXPECT_NE(message(ErrorKind::data, [&] { Ledger::open(path_); }).find("use a newer sotto"), std::string::npos);
}

TEST_F(LedgerTest, TheDatabaseItselfRefusesToForget) {
  Ledger::open(path_).reserve(entry_of("a"));
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &handle), SQLITE_OK);
  for (const char* sql : {"DELETE FROM entry WHERE id = 2", "UPDATE entry SET hash = 'x' WHERE id = 2",
                          "INSERT OR REPLACE INTO entry (id, payload, hash) VALUES (2, '{\"id\":2}', 'x')",
                          "INSERT INTO entry (id, payload, hash) VALUES (9, '{\"id\":9}', 'x')"})
    EXPECT_EQ(sqlite3_exec(handle, sql, nullptr, nullptr, nullptr), SQLITE_CONSTRAINT) << sql;
  sqlite3_close(handle);
  EXPECT_TRUE(Ledger::verify(path_).ok);
}

}  // namespace
}  // namespace sotto::accountants
