#include <algorithm>
#include <chrono>
#include <csignal>
#include <random>
#include <sstream>
#include <thread>

#include "tests/accountants/ledger_child.h"
#include "tests/accountants/ledger_fixture.h"

namespace sotto::accountants {
namespace {

class LedgerCrashTest : public LedgerTest {
 protected:
  Ended run(std::vector<std::string> arguments, const std::string& fault_point = "") {
    return wait_for(start_child(arguments, fault_point));
  }
  static int64_t last_line(const std::string& text) {
    std::istringstream in(text);
    int64_t last = 0;
    for (int64_t each; in >> each;) last = each;
    return last;
  }
};

TEST_F(LedgerCrashTest, KilledAtEveryDurableBoundaryNothingIsLostOrDoubled) {
  Ledger::open(path_).reserve(entry_of("a"));
  int64_t charged = 0;
  for (const char* point : {"ledger.before_insert", "ledger.before_commit", "ledger.after_commit"})
    for (const int arrival : {1, 2, 5}) {
      const Ended ended = run({"charge", path_, "a", "10"}, std::string(point) + ":" + std::to_string(arrival));
      ASSERT_TRUE(ended.killed) << point << " was never reached: " << ended.err;
      EXPECT_NE(ended.err.find(std::string("killed at ") + point), std::string::npos);
      charged += arrival - 1 + (std::string(point) == "ledger.after_commit" ? 1 : 0);
      EXPECT_TRUE(Ledger::verify(path_).ok) << point;
      EXPECT_EQ(Ledger::open(path_).run("a")->charged_steps, charged) << point << ":" << arrival;
    }
  EXPECT_EQ(Ledger::open(path_).charge("a", charged + 1, charged + 1).last_step, charged + 1) << "and the run goes on";
}

TEST_F(LedgerCrashTest, AReservationAndAReleaseAreThereWhollyOrNot) {
  Ledger::open(path_);
  int number = 0;
  for (const char* point : {"ledger.before_insert", "ledger.before_commit", "ledger.after_commit"}) {
    const bool durable = std::string(point) == "ledger.after_commit";
    const std::string id = "run" + std::to_string(number++);
    ASSERT_TRUE(run({"reserve", path_, id}, point).killed) << point;
    EXPECT_EQ(Ledger::open(path_).run(id).has_value(), durable) << point;
    if (!durable) Ledger::open(path_).reserve(entry_of(id));
    Ledger::open(path_).charge(id, 1, 3);
    ASSERT_TRUE(run({"release", path_, id}, point).killed) << point;
    EXPECT_EQ(Ledger::open(path_).run(id)->closed, durable) << point;
    EXPECT_EQ(Ledger::open(path_).run(id)->charged_steps, 3) << point;
    EXPECT_TRUE(Ledger::verify(path_).ok) << point;
  }
}

TEST_F(LedgerCrashTest, ALedgerIsCreatedWhollyOrNot) {
  for (const char* point : {"ledger.before_insert", "ledger.create.before_link", "ledger.create.after_link"}) {
    ASSERT_TRUE(run({"create", path_}, point).killed) << point;
    EXPECT_EQ(std::filesystem::exists(path_), std::string(point) == "ledger.create.after_link") << point;
    Ledger::open(path_).reserve(entry_of("a"));
    EXPECT_TRUE(Ledger::verify(path_).ok) << point;
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path_.string() + suffix);
  }
}

TEST_F(LedgerCrashTest, KilledAtRandomMomentsEveryReceiptIsInTheLedger) {
  Ledger::open(path_).reserve(entry_of("a"));
  std::mt19937 rng(3);
  std::uniform_int_distribution<int> micros(0, 60'000);
  int64_t before = 0;
  int killed = 0;
  for (int round = 0; round < 20; ++round) {
    const Child child = start_child({"charge", path_, "a", "1000000"});
    std::this_thread::sleep_for(std::chrono::microseconds(micros(rng)));
    kill(child.pid, SIGKILL);
    const Ended ended = wait_for(child);
    ASSERT_TRUE(ended.killed) << ended.err;
    ++killed;
    const int64_t receipt = std::max(before, last_line(ended.out));
    const int64_t now = Ledger::open(path_).run("a")->charged_steps;
    // The kill may fall between the commit and the print, never between the print and the commit.
    EXPECT_GE(now, receipt);
    EXPECT_LE(now, receipt + 1);
    ASSERT_TRUE(Ledger::verify(path_).ok) << "round " << round;
    before = now;
    if (now > 700) break;  // the run's budget ends soon
  }
  EXPECT_GE(killed, 2);
}

TEST_F(LedgerCrashTest, TwoProcessesCanChargeDifferentRunsAtOnce) {
  {
    Ledger ledger = Ledger::open(path_);
    ledger.reserve(entry_of("a"));
    ledger.reserve(entry_of("b"));
  }
  const Child one = start_child({"charge", path_, "a", "200"}), two = start_child({"charge", path_, "b", "200"});
  for (const Child& each : {one, two}) {
    const Ended ended = wait_for(each);
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_EQ(last_line(ended.out), 200);
  }
  EXPECT_EQ(Ledger::open(path_).rows().size(), 1u + 2 + 400);
  EXPECT_TRUE(Ledger::verify(path_).ok);
}

TEST_F(LedgerCrashTest, TwoProcessesOnOneRunNeverChargeAStepTwice) {
  Ledger::open(path_).reserve(entry_of("a"));
  const Child one = start_child({"charge", path_, "a", "200"}), two = start_child({"charge", path_, "a", "200"});
  std::vector<int64_t> steps;
  for (const Child& each : {one, two}) {
    const Ended ended = wait_for(each);
    EXPECT_EQ(ended.code, 0) << ended.err;
    std::istringstream in(ended.out);
    for (int64_t step; in >> step;) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  ASSERT_EQ(steps.size(), 400u);
  for (int64_t i = 0; i < 400; ++i) EXPECT_EQ(steps[static_cast<size_t>(i)], i + 1);
  EXPECT_EQ(Ledger::open(path_).run("a")->charged_steps, 400);
  EXPECT_TRUE(Ledger::verify(path_).ok);
}

TEST_F(LedgerCrashTest, TwoProcessesMayCreateTheLedgerAtOnce) {
  for (int round = 0; round < 5; ++round) {
    const Child one = start_child({"reserve", path_, "a"}), two = start_child({"reserve", path_, "b"});
    for (const Child& each : {one, two}) {
      const Ended ended = wait_for(each);
      EXPECT_EQ(ended.code, 0) << ended.err;
    }
    EXPECT_EQ(Ledger::open(path_).rows().size(), 3u) << "one genesis, two reservations";
    EXPECT_TRUE(Ledger::verify(path_).ok);
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path_.string() + suffix);
  }
}

}  // namespace
}  // namespace sotto::accountants
