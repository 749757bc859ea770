#include <algorithm>
#include <chrono>
#include <csignal>
#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "tests/accountants/ledger_child.h"
#include "tests/accountants/ledger_fixture.h"
#include "tests/accountants/postgres_proxy.h"

namespace sotto::accountants {
namespace {

class LedgerPostgresCrashTest : public LedgerOnEachBackend {
 protected:
  void SetUp() override {
    LedgerOnEachBackend::SetUp();
    if (IsSkipped()) return;
    server_ = PostgresServer::shared();
    RunEntry entry = entry_of("a");  // that does not end within a test
    entry.epsilon_cap = 1e6;
    entry.planned_steps = 1 << 20;
    Ledger::open(location_).reserve(entry);
  }
  // The steps on whole lines: a line that a kill cut short was never a receipt.
  static std::vector<int64_t> confirmed(const std::string& text) {
    std::vector<int64_t> steps;
    std::istringstream in(text.substr(0, text.rfind('\n') + 1));
    for (int64_t step; in >> step;) steps.push_back(step);
    return steps;
  }
  // Every confirmed step is in the ledger, each step once, and at most `unconfirmed` that nobody was told of.
  void expect_whole(std::vector<int64_t> steps, size_t unconfirmed) {
    std::ranges::sort(steps);
    EXPECT_TRUE(std::ranges::adjacent_find(steps) == steps.end()) << "a step was confirmed twice";
    const VerifyReport report = Ledger::verify(location_);
    ASSERT_TRUE(report.ok) << report.findings.at(0);
    std::set<int64_t> charged;
    for (const LedgerRow& row : Ledger::open(location_).rows("a"))
      if (row.kind == "charge") {
        const auto payload = nlohmann::json::parse(row.payload);
        for (int64_t step = payload["first_step"]; step <= payload["last_step"]; ++step)
          EXPECT_TRUE(charged.insert(step).second) << "step " << step << " is charged twice";
      }
    for (const int64_t step : steps) EXPECT_TRUE(charged.contains(step)) << "step " << step << " was lost";
    EXPECT_LE(charged.size(), steps.size() + unconfirmed);
  }
  std::vector<Child> start(int count, const char* verb) {
    std::vector<Child> children;
    for (int i = 0; i < count; ++i) children.push_back(start_child({verb, location_.text(), "a", "1000000"}));
    return children;
  }
  std::vector<int64_t> kill_and_collect(const std::vector<Child>& children) {
    std::vector<int64_t> steps;
    for (const Child& each : children) kill(each.pid, SIGKILL);
    for (const Child& each : children) {
      const Ended ended = wait_for(each);
      EXPECT_TRUE(ended.killed) << "it gave up by itself: " << ended.err;
      const auto more = confirmed(ended.out);
      steps.insert(steps.end(), more.begin(), more.end());
    }
    return steps;
  }
  int64_t rows() { return std::stoll(server_->sql("SELECT count(*) FROM " + location_.schema() + ".entry")); }
  void wait_for_rows(int64_t more) {
    const int64_t wanted = rows() + more;
    for (int tries = 0; rows() < wanted; ++tries) ASSERT_LT(tries, 2000) << "nobody charges";
  }

  PostgresServer* server_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(On, LedgerPostgresCrashTest, testing::Values("postgres"), backend_name);

TEST_P(LedgerPostgresCrashTest, ACommitWhoseAnswerWasLostIsFoundAndNotChargedTwice) {
  PostgresProxy proxy(*server_);
  Ledger ledger = Ledger::open(proxy.through(location_));
  ledger.charge("a", 1, 1);
  proxy.cut(PostgresProxy::Cut::before_answer);
  const ChargeReceipt receipt = ledger.charge("a", 2, 5);
  EXPECT_TRUE(proxy.has_cut());
  EXPECT_EQ(Ledger::open(location_).head(), (Head{receipt.row_id, receipt.hash}));
  EXPECT_EQ(ledger.charge("a", 6, 6).row_id, receipt.row_id + 1) << "and the same object goes on";
  expect_whole({1, 2, 3, 4, 5, 6}, 0);
}

TEST_P(LedgerPostgresCrashTest, ACommitThatDidNotArriveIsSaidAndLeavesNothing) {
  PostgresProxy proxy(*server_);
  Ledger ledger = Ledger::open(proxy.through(location_));
  ledger.charge("a", 1, 1);
  proxy.cut(PostgresProxy::Cut::before_commit);
  EXPECT_NE(message(ErrorKind::io, [&] { ledger.charge("a", 2, 2); }).find("was lost"), std::string::npos);
  EXPECT_TRUE(proxy.has_cut());
  EXPECT_EQ(Ledger::open(location_).run("a")->charged_steps, 1);
  EXPECT_EQ(ledger.charge("a", 2, 2).last_step, 2);
  expect_whole({1, 2}, 0);
}

TEST_P(LedgerPostgresCrashTest, AnEqualRowOfAnotherProcessIsNotTakenForOnesOwn) {
  const auto clock = [] { return int64_t{4'102'444'800}; };
  Ledger other = Ledger::open(location_);
  other.set_clock(clock);
  PostgresProxy proxy(*server_);
  Ledger ledger = Ledger::open(proxy.through(location_));
  ledger.set_clock(clock);
  ledger.charge("a", 1, 1);
  ChargeReceipt theirs{};
  proxy.cut(PostgresProxy::Cut::before_commit, [&] { theirs = other.charge("a", 2, 2); });
  const std::string why = message(ErrorKind::io, [&] { ledger.charge("a", 2, 2); });
  EXPECT_EQ(why.find("could not be found out"), std::string::npos) << why;
  EXPECT_EQ(theirs.last_step, 2) << "the same row to the byte: run, step, time, row before";
  expect_whole({1, 2}, 0);
}

TEST_P(LedgerPostgresCrashTest, AServerThatWasStartedAgainBetweenTwoStepsIsNotNoticed) {
  Ledger ledger = Ledger::open(location_);
  ledger.charge("a", 1, 1);
  server_->stop();
  auto charged = std::async(std::launch::async, [&] { return ledger.charge("a", 2, 2).last_step; });
  server_->start();
  EXPECT_EQ(charged.get(), 2) << "it waits for the server";
  server_->kill_hard();
  server_->start();
  EXPECT_EQ(ledger.run("a")->charged_steps, 2);
  EXPECT_EQ(ledger.charge("a", 3, 3).last_step, 3);
  expect_whole({1, 2, 3}, 0);
}

TEST_P(LedgerPostgresCrashTest, AServerThatWasSetBackIsFoundOut) {
  Ledger ledger = Ledger::open(location_);
  ledger.charge("a", 1, 5);
  tamper_quietly("DELETE FROM entry WHERE kind = 'charge'");
  server_->sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sotto'");
  std::string why;
  for (bool lost = true; lost;) try {  // the connection may go in the middle of a charge, which then only says so
      ledger.charge("a", 6, 6);
      FAIL() << "charged after rows that are gone";
    } catch (const Error& error) {
      why = error.what();
      lost = error.kind() == ErrorKind::io;
    }
  EXPECT_NE(why.find("set back"), std::string::npos) << why;
}

TEST_P(LedgerPostgresCrashTest, EightProcessesSpendAtOnceAndEveryStepIsThereOnce) {
  std::vector<Child> children;
  for (int i = 0; i < 8; ++i) children.push_back(start_child({"charge", location_.text(), "a", "40"}));
  std::vector<int64_t> steps;
  for (const Child& each : children) {
    const Ended ended = wait_for(each);
    EXPECT_EQ(ended.code, 0) << ended.err;
    const auto more = confirmed(ended.out);
    steps.insert(steps.end(), more.begin(), more.end());
  }
  EXPECT_EQ(steps.size(), 8u * 40);
  expect_whole(steps, 0);
}

TEST_P(LedgerPostgresCrashTest, ACreationThatWasKilledLeavesNothingAndIsDoneAgain) {
  const LedgerLocation fresh = server_->fresh();
  EXPECT_TRUE(wait_for(start_child({"create", fresh.text()}, "ledger.create.before_commit:1")).killed);
  EXPECT_THROW(Ledger::open_existing(fresh), Error);
  EXPECT_EQ(Ledger::open(fresh).head().id, 1);
  EXPECT_TRUE(Ledger::verify(fresh).ok);
}

TEST_P(LedgerPostgresCrashTest, KilledClientsLoseNothingAndBlockNobody) {
  std::mt19937 rng(3);
  std::vector<int64_t> steps;
  size_t killed = 0;
  for (int round = 0; round < 12; ++round) {
    const auto children = start(2, "charge");
    wait_for_rows(1);
    std::this_thread::sleep_for(std::chrono::microseconds(rng() % 20'000));
    const auto more = kill_and_collect(children);
    steps.insert(steps.end(), more.begin(), more.end());
    killed += children.size();
  }
  expect_whole(steps, killed);
}

TEST_P(LedgerPostgresCrashTest, ConnectionsThatAreCutAtAnyMomentLoseAndDoubleNothing) {
  const auto children = start(8, "insist");
  for (int cut = 0; cut < 60;)
    cut += server_
               ->sql(
                   "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sotto' "
                   "ORDER BY random() LIMIT 3")
               .find('t') != std::string::npos;
  wait_for_rows(8);
  expect_whole(kill_and_collect(children), children.size());
}

TEST_P(LedgerPostgresCrashTest, AServerThatDiesAtAnyMomentLosesAndDoublesNothing) {
  std::mt19937 rng(5);
  const auto children = start(4, "insist");
  for (int round = 0; round < 4; ++round) {
    wait_for_rows(3);
    if (HasFatalFailure()) break;
    std::this_thread::sleep_for(std::chrono::microseconds(rng() % 30'000));
    round % 2 ? server_->kill_hard() : server_->stop();
    server_->start();
  }
  wait_for_rows(4);
  // One in flight for each; and for each crash one whose outcome nobody could find out, if the server was away too
  // long.
  expect_whole(kill_and_collect(children), 2 * children.size());
}

}  // namespace
}  // namespace sotto::accountants
