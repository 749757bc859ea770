#include <algorithm>
#include <cmath>

#include "accountants/ledger.h"
#include "tests/accountants/ledger_fixture.h"

namespace sotto::accountants {
namespace {

// What a ledger promises wherever its rows are.
class LedgerContractTest : public LedgerOnEachBackend {};
INSTANTIATE_TEST_SUITE_P(On, LedgerContractTest, testing::Values("sqlite", "postgres"), backend_name);

TEST_P(LedgerContractTest, AChargeIsThereForWhoeverOpensTheFileNext) {
  ChargeReceipt receipt;
  {
    Ledger ledger = Ledger::open(location_);
    ledger.reserve(entry_of("a"));
    ledger.charge("a", 1, 1);
    receipt = ledger.charge("a", 2, 2);
  }
  Ledger ledger = Ledger::open(location_);
  const auto state = ledger.run("a");
  ASSERT_TRUE(state);
  EXPECT_EQ(state->charged_steps, 2);
  EXPECT_FALSE(state->closed);
  EXPECT_EQ(state->epsilon, receipt.epsilon);
  EXPECT_EQ(ledger.head(), (Head{receipt.row_id, receipt.hash}));
  const auto accountant = make_accountant("rdp", NeighbouringRelation::add_remove);
  accountant->compose(Event{PoissonSampledGaussian{1.0, 0.01}}, 2);
  EXPECT_EQ(receipt.epsilon, accountant->epsilon(1e-5));
  EXPECT_TRUE(Ledger::verify(location_).ok);
}

TEST_P(LedgerContractTest, AReservationReadsBackAsItWasMade) {
  RunEntry entry = entry_of("ü \"quoted\" 🙂");
  entry.epsilon_cap = 0.1 + 0.2;
  entry.event.mechanism = Gaussian{70.0 / 3};
  entry.planned_steps = 7;
  Ledger::open(location_).reserve(entry);
  const auto state = Ledger::open(location_).run(entry.run_id);
  ASSERT_TRUE(state);
  const RunEntry& got = state->entry;
  EXPECT_EQ(std::tie(got.run_id, got.who, got.data_set, got.data_hash, got.unit_of_privacy, got.relation,
                     got.accountant, got.privacy_hash, got.epsilon_cap, got.delta, got.planned_steps),
            std::tie(entry.run_id, entry.who, entry.data_set, entry.data_hash, entry.unit_of_privacy, entry.relation,
                     entry.accountant, entry.privacy_hash, entry.epsilon_cap, entry.delta, entry.planned_steps));
  EXPECT_EQ(got.event, entry.event);
}

TEST_P(LedgerContractTest, AStepIsChargedOnceAndInOrder) {
  Ledger ledger = Ledger::open(location_);
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

TEST_P(LedgerContractTest, WhoWaitsTooLongForAnotherWriterIsToldAndMayTryAgain) {
  Ledger::open(location_).reserve(entry_of("a"));
  const auto other = open_backend(location_);
  Ledger ledger = Ledger::open(location_.waiting(std::chrono::milliseconds(20)));
  {
    const Transaction lock(*other);  // for as long as the waiting takes
    for (int tries = 0; tries < 2; ++tries)
      EXPECT_EQ(message(ErrorKind::io, [&] { ledger.charge("a", 1, 1); }),
                location_.text() + " was locked by another process for 0.02 s; let that one finish and try again");
    EXPECT_EQ(ledger.run("a")->charged_steps, 0) << "who reads waits for nobody";
    EXPECT_TRUE(Ledger::verify(location_).ok);
  }
  EXPECT_EQ(ledger.charge("a", 1, 1).last_step, 1);
}

TEST_P(LedgerContractTest, TheStepPastTheBudgetIsRefusedAndLeavesNoRow) {
  Ledger ledger = Ledger::open(location_);
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

TEST_P(LedgerContractTest, NoStepBeyondThePlanIsCharged) {
  Ledger ledger = Ledger::open(location_);
  RunEntry entry = entry_of("a");
  entry.planned_steps = 10;
  ledger.reserve(entry);
  ledger.charge("a", 1, 10);
  EXPECT_NE(message(ErrorKind::budget_exhausted, [&] { ledger.charge("a", 11, 11); }).find("10 steps reserved"),
            std::string::npos);
}

TEST_P(LedgerContractTest, ABlockIsWhollySpent) {
  Ledger ledger = Ledger::open(location_);
  ledger.reserve(entry_of("a"));
  ledger.reserve(entry_of("b"));
  const double block = ledger.charge("a", 1, 50).epsilon;
  for (int step = 1; step < 50; ++step) ledger.charge("b", step, step);
  EXPECT_EQ(ledger.charge("b", 50, 50).epsilon, block);
}

TEST_P(LedgerContractTest, ReleaseClosesTheRunAndRefundsNothingCharged) {
  Ledger ledger = Ledger::open(location_);
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

TEST_P(LedgerContractTest, UnknownRunsAreNamed) {
  Ledger ledger = Ledger::open(location_);
  EXPECT_FALSE(ledger.run("ghost"));
  EXPECT_NE(message(ErrorKind::invalid_argument, [&] { ledger.charge("ghost", 1, 1); }).find("ghost"),
            std::string::npos);
  message(ErrorKind::invalid_argument, [&] { ledger.release("ghost"); });
}

TEST_P(LedgerContractTest, WhatCannotBeAccountedIsNotReserved) {
  Ledger ledger = Ledger::open(location_);
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

TEST_P(LedgerContractTest, RunsOnOneDataSetAddUpByCurve) {
  Ledger ledger = Ledger::open(location_);
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

TEST_P(LedgerContractTest, ACapHoldsForAllRunsTogetherAndReleaseGivesBackTheUncharged) {
  Ledger ledger = Ledger::open(location_);
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

TEST_P(LedgerContractTest, AReleasedReservationMakesRoomUnderTheCap) {
  Ledger ledger = Ledger::open(location_);
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

TEST_P(LedgerContractTest, ACapIsSetOnceAndBeforeTheFirstRun) {
  Ledger ledger = Ledger::open(location_);
  ledger.set_cap("x", 3, 1e-5);
  message(ErrorKind::invalid_argument, [&] { ledger.set_cap("x", 4, 1e-5); });
  ledger.reserve(entry_of("a"));
  message(ErrorKind::invalid_argument, [&] { ledger.set_cap("diabetes130", 4, 1e-5); });
  message(ErrorKind::invalid_argument, [&] { ledger.set_cap("y", INFINITY, 1e-5); });
  message(ErrorKind::invalid_argument, [&] { ledger.set_cap("y", 1, 1); });
  EXPECT_FALSE(ledger.cap("diabetes130"));
}

TEST_P(LedgerContractTest, TheSamePeopleCannotHideBehindAnotherNameOrUnit) {
  Ledger ledger = Ledger::open(location_);
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

}  // namespace
}  // namespace sotto::accountants
