#include <cmath>
#include <limits>

#include "accountants/ledger/calendar.h"
#include "accountants/ledger/scope.h"
#include "tests/accountants/ledger_fixture.h"

namespace sotto::accountants {
namespace {

constexpr int64_t kStart = 4'102'444'800;  // 2100-01-01T00:00:00Z, after the row that made the ledger
constexpr int64_t kDay = 86'400;

class LedgerBudgetTest : public LedgerOnEachBackend {
 protected:
  Ledger open_at(const int64_t& clock) {
    Ledger ledger = Ledger::open(location_);
    ledger.set_clock([&clock] { return clock; });
    return ledger;
  }
  // An entry of a few cheap steps: RDP at σ = 20 without sampling is α / 800 a step.
  static RunEntry cheap(const std::string& run_id, int64_t steps = 1) {
    RunEntry entry = entry_of(run_id);
    entry.event = {Gaussian{20}};
    entry.planned_steps = steps;
    return entry;
  }
  // The filter's ε of that many such steps at 1e-5: the least over the ledger's orders, each with a twelfth of δ.
  static double filter_epsilon(int64_t steps) {
    double best = std::numeric_limits<double>::infinity();
    for (const double order : {1.5, 2., 3., 4., 6., 8., 12., 16., 24., 32., 64., 256.})
      best = std::min(best, static_cast<double>(steps) * order / 800 + std::log1p(-1 / order) -
                                (std::log(1e-5 / 12) + std::log(order)) / (order - 1));
    return best;
  }
  void expect_verified() {
    const auto report = Ledger::verify(location_);
    EXPECT_TRUE(report.ok) << (report.findings.empty() ? "" : report.findings[0]);
  }
  int64_t clock_ = kStart;
};

INSTANTIATE_TEST_SUITE_P(On, LedgerBudgetTest, testing::Values("sqlite", "postgres"), backend_name);

TEST_P(LedgerBudgetTest, WhoSpendsMustLieWithinAndWhoseDataMayContain) {
  EXPECT_TRUE(within("clinic/cardiology", "clinic"));
  EXPECT_TRUE(within("clinic", "clinic"));
  EXPECT_FALSE(within("clinical", "clinic")) << "a name is not a prefix";
  EXPECT_FALSE(within("clinic", "clinic/cardiology"));
  EXPECT_TRUE(within("", ""));
  EXPECT_FALSE(within("", "clinic"));
  const Scope run{
      .organisation = "clinic/ward", .data_set = "stays", .purpose = "research", .team = "ml", .group = "adults"};
  EXPECT_TRUE(concerns({}, run));
  EXPECT_TRUE(concerns({.organisation = "clinic", .team = "ml"}, run));
  EXPECT_FALSE(concerns({.organisation = "clinic", .team = "bi"}, run));
  EXPECT_FALSE(concerns({.team = "ml/vision"}, run)) << "the run is not vision's";
  EXPECT_TRUE(concerns({.group = "adults/over65"}, run)) << "a run on adults costs those over 65";
  EXPECT_FALSE(concerns({.group = "children"}, run));
  EXPECT_TRUE(concerns({.group = "children"}, {.data_set = "stays"})) << "a run without a group costs everybody";
  EXPECT_FALSE(concerns({.purpose = "research"}, {.data_set = "stays"}));
}

TEST_P(LedgerBudgetTest, EveryGrantOnThePathIsChecked) {
  // Room for 4 steps in the organisation, 3 in its ward, 2 in the team there; the data set has no grant of its own.
  const auto room = [](int64_t steps) { return filter_epsilon(steps) * (1 + 1e-9); };
  Ledger ledger = Ledger::open(location_);
  ledger.grant({.scope = {.organisation = "clinic"}, .epsilon = room(4), .delta = 1e-5});
  ledger.grant({.scope = {.organisation = "clinic/ward"}, .epsilon = room(3), .delta = 1e-5});
  ledger.grant({.scope = {.organisation = "clinic/ward", .team = "ml"}, .epsilon = room(2), .delta = 1e-5});
  int number = 0;
  const auto reserve = [&](const std::string& organisation, const std::string& team) {
    RunEntry entry = cheap("run" + std::to_string(number++));
    entry.organisation = organisation, entry.team = team;
    ledger.reserve(entry);
  };
  const auto refused = [&](const std::string& organisation, const std::string& team) {
    return message(ErrorKind::budget_exhausted, [&] { reserve(organisation, team); });
  };
  reserve("clinic/ward", "ml");
  reserve("clinic/ward", "ml");
  EXPECT_NE(refused("clinic/ward", "ml").find("organisation clinic/ward, team ml"), std::string::npos);
  reserve("clinic/ward", "bi");
  EXPECT_NE(refused("clinic/ward", "bi").find("organisation clinic/ward with"), std::string::npos);
  reserve("clinic/office", "bi");
  EXPECT_NE(refused("clinic/office", "ml").find("organisation clinic with"), std::string::npos);
  reserve("university", "ml");
  const auto budgets = ledger.budgets();
  ASSERT_EQ(budgets.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(budgets[i].run_ids.size(), 4 - i);
    EXPECT_NEAR(budgets[i].claimed, filter_epsilon(4 - static_cast<int64_t>(i)), 1e-12);
    EXPECT_EQ(budgets[i].spent, 0) << "nothing was charged";
  }
  EXPECT_EQ(ledger.rows().size(), 4u + 5) << "a refused reservation leaves no row";
  expect_verified();
}

TEST_P(LedgerBudgetTest, APeopleGroupPaysForRunsOnThoseAroundIt) {
  Ledger ledger = Ledger::open(location_);
  ledger.grant({.scope = {.group = "adults/over65"}, .epsilon = filter_epsilon(3) * (1 + 1e-9), .delta = 1e-5});
  const auto reserve = [&](const std::string& id, const std::string& group) {
    RunEntry entry = cheap(id);
    entry.group = group;
    ledger.reserve(entry);
  };
  reserve("everybody", "");
  reserve("adults", "adults");
  reserve("children", "children");
  reserve("old", "adults/over65");
  message(ErrorKind::budget_exhausted, [&] { reserve("again", ""); });
  reserve("under65", "adults/under65");
  expect_verified();
}

TEST_P(LedgerBudgetTest, ReleasedStepsAreFreeAgainAndChargedOnesNot) {
  Ledger ledger = Ledger::open(location_);
  ledger.grant({.scope = {.data_set = "diabetes130"}, .epsilon = filter_epsilon(4) * (1 + 1e-9), .delta = 1e-5});
  ledger.reserve(cheap("a", 4));
  ledger.charge("a", 1, 1);
  message(ErrorKind::budget_exhausted, [&] { ledger.reserve(cheap("b", 3)); });
  ledger.release("a");
  message(ErrorKind::budget_exhausted, [&] { ledger.reserve(cheap("b", 4)); });
  ledger.reserve(cheap("b", 3));
  expect_verified();
}

TEST_P(LedgerBudgetTest, APeriodRenewsOnTimeAndOpenRunsStayOnTheBill) {
  Ledger ledger = open_at(clock_);
  ledger.grant({.scope = {}, .epsilon = filter_epsilon(4) * (1 + 1e-9), .delta = 1e-5, .renew_days = 30});
  ledger.reserve(cheap("done", 2));
  ledger.charge("done", 1, 2);
  ledger.release("done");
  ledger.reserve(cheap("open", 2));
  message(ErrorKind::budget_exhausted, [&] { ledger.reserve(cheap("more")); });
  clock_ = kStart + 30 * kDay - 1;
  message(ErrorKind::budget_exhausted, [&] { ledger.reserve(cheap("more")); });
  clock_ = kStart + 30 * kDay;
  EXPECT_EQ(ledger.budgets()[0].run_ids, std::vector<std::string>{"open"});
  EXPECT_EQ(ledger.budgets()[0].period_end, kStart + 60 * kDay);
  message(ErrorKind::budget_exhausted, [&] { ledger.reserve(cheap("more", 3)); });
  ledger.reserve(cheap("more", 2));
  expect_verified();
}

TEST_P(LedgerBudgetTest, AClockThatGoesBackRenewsNothingAndDatesNothingEarlier) {
  Ledger ledger = open_at(clock_);
  ledger.grant({.scope = {}, .epsilon = filter_epsilon(2) * (1 + 1e-9), .delta = 1e-5, .renew_days = 30});
  clock_ = kStart + 31 * kDay;
  ledger.reserve(cheap("a", 2));
  ledger.charge("a", 1, 2);
  ledger.release("a");
  for (const int64_t wrong : {kStart, kStart - 400 * kDay, kStart + 29 * kDay, int64_t{0}}) {
    clock_ = wrong;
    message(ErrorKind::budget_exhausted, [&] { ledger.reserve(cheap("b")); });
    EXPECT_EQ(ledger.now(), kStart + 31 * kDay);
  }
  ledger.set_cap("other", 1, 1e-5);
  EXPECT_NE(ledger.rows().back().payload.find("2100-02-01T00:00:00Z"), std::string::npos);
  expect_verified();
}

TEST_P(LedgerBudgetTest, AfterTheEndNothingIsSpentUntilANewGrant) {
  Ledger ledger = open_at(clock_);
  ledger.grant({.scope = {.team = "ml"}, .epsilon = 2, .delta = 1e-5, .expires = kStart + 10 * kDay});
  RunEntry entry = cheap("a", 4);
  entry.team = "ml/vision";
  ledger.reserve(entry);
  ledger.charge("a", 1, 1);
  message(ErrorKind::invalid_argument, [&] { ledger.grant({.scope = {.team = "ml"}, .epsilon = 9, .delta = 1e-5}); });
  clock_ = kStart + 10 * kDay;
  EXPECT_NE(message(ErrorKind::budget_exhausted, [&] { ledger.charge("a", 2, 2); }).find("ended on 2100-01-11"),
            std::string::npos);
  entry.run_id = "b";
  message(ErrorKind::budget_exhausted, [&] { ledger.reserve(entry); });
  ledger.reserve(cheap("elsewhere"));
  EXPECT_NE(message(ErrorKind::budget_exhausted,
                    [&] { ledger.grant({.scope = {.team = "ml"}, .epsilon = 1e-3, .delta = 1e-5}); })
                .find("already hold"),
            std::string::npos)
      << "an open run counts in the new grant";
  ledger.grant({.scope = {.team = "ml"}, .epsilon = 2, .delta = 1e-5});
  ledger.charge("a", 2, 2);
  expect_verified();
}

TEST_P(LedgerBudgetTest, WithAnOwnerNothingIsSpentThatNoGrantCovers) {
  Ledger ledger = Ledger::open(location_);
  ledger.sign_with(SigningKey::generate());
  ledger.set_owner("Olga");
  EXPECT_NE(message(ErrorKind::budget_exhausted, [&] { ledger.reserve(cheap("a")); }).find("no grant covers"),
            std::string::npos);
  ledger.grant({.scope = {.data_set = "diabetes130"}, .epsilon = 2, .delta = 1e-5});
  ledger.reserve(cheap("a"));
  expect_verified();
}

TEST_P(LedgerBudgetTest, GrantsThatMeanNothingAreRefusedWithoutARow) {
  Ledger ledger = open_at(clock_);
  const auto refused = [&](Grant grant, const char* word) {
    EXPECT_NE(message(ErrorKind::invalid_argument, [&] { ledger.grant(grant); }).find(word), std::string::npos);
    EXPECT_EQ(ledger.rows().size(), 1u);
  };
  for (const double epsilon : {0.0, -1.0, double{NAN}, double{INFINITY}})
    refused({.epsilon = epsilon, .delta = 1e-5}, "epsilon must be finite and above 0");
  for (const double delta : {0.0, 1.0, 2.0, -1e-5, double{NAN}})
    refused({.epsilon = 1, .delta = delta}, "delta must be above 0 and below 1");
  for (const int64_t days : {int64_t{0}, int64_t{-1}, int64_t{1} << 50})
    refused({.epsilon = 1, .delta = 1e-5, .renew_days = days}, "renewed every 1 to");
  refused({.epsilon = 1, .delta = 1e-5, .expires = kStart}, "end after its start");
  for (const char* path : {"/ml", "ml/", "ml//vision"})
    refused({.scope = {.team = path}, .epsilon = 1, .delta = 1e-5}, "empty part");
}

TEST_P(LedgerBudgetTest, OnlyTimesThatACalendarHasAreTimes) {
  EXPECT_EQ(utc_seconds("2100-01-01"), kStart);
  EXPECT_EQ(utc_seconds("2024-02-29T23:59:59Z"), 1'709'251'199);
  EXPECT_EQ(utc_text(0), "1970-01-01T00:00:00Z");
  for (const char* text :
       {"", "2026-02-29", "2026-1-1", "2026-01-01T24:00:00Z", "2026-01-01 00:00:00", "soon", "2026-01-01T00:00:00Z "})
    message(ErrorKind::data, [&] { utc_seconds(text); });
}

}  // namespace
}  // namespace sotto::accountants
