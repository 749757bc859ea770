#include "accountants/ledger/claim_sums.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "accountants/rdp/conversion.h"
#include "base/error.h"
#include "tests/accountants/ledger_fixture.h"

namespace sotto::accountants {
namespace {

constexpr int64_t kDay = 86'400;

// The figure that the sums must keep: a walk over all runs, in long double.
template <class Counts>
double walked(const std::vector<Claim>& runs, const std::vector<double>& orders, double delta, Counts counts) {
  std::vector<long double> total(orders.size(), 0.0L);
  for (const Claim& run : runs)
    for (size_t i = 0; counts(run) && run.steps() > 0 && i < orders.size(); ++i)
      total[i] += static_cast<long double>(run.steps()) * (*run.curve)[i];
  return filter_epsilon(orders, {total.begin(), total.end()}, delta);
}

// Runs come, end early or late and outlive periods, at random; at every step each cap and grant must say what a walk
// over all runs says. Half of the curves have orders without a bound. Ends of large runs leave sums that are a
// millionth of what they were, where a plain running sum would have lost its digits.
TEST(ClaimSumsTest, SumsAreThoseOfAWalkOverAllRunsWhateverComesAndEnds) {
  const std::vector<double> orders = {1.5, 4, 32, 256};
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<RdpCurve> curves = {{1e-3, 3e-3, 2e-2, 0.3}, {0.7, 1e-6, 1e-6, infinity}, {1e-9, 2e-9, 3e-9, 4e-9}};
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937_64 random(seed);
    const auto below = [&](int64_t limit) { return static_cast<int64_t>(random() % static_cast<uint64_t>(limit)); };
    const std::vector<Grant> grants = {
        {.row_id = 1, .epsilon = 1, .delta = 1e-6},
        {.row_id = 2, .scope = {.team = "a"}, .epsilon = 1, .delta = 1e-6, .renew_days = 2},
        {.row_id = 3, .scope = {.data_set = "x"}, .epsilon = 1, .delta = 1e-9, .renew_days = 30}};
    std::deque<RunEntry> entries;
    std::vector<Claim> all;
    ClaimSums sums(orders);
    int64_t now = 0;
    for (int step = 0; step < 400; ++step) {
      now += below(kDay / 2);
      std::vector<Claim*> open;
      for (Claim& run : all)
        if (!run.closed_at) open.push_back(&run);
      if (open.empty() || below(100) < 55) {
        RunEntry& entry = entries.emplace_back(entry_of(cat("run ", step)));
        entry.data_set = below(2) ? "x" : "y";
        entry.team = below(2) ? "a/b" : "c";
        all.push_back({&entry, &curves[static_cast<size_t>(below(3))], below(8) ? 1 + below(100) : 100'000'000, 0, {}});
        sums.add(all.back());
      } else {
        Claim& run = *open[static_cast<size_t>(below(static_cast<int64_t>(open.size())))];
        run.charged = below(2) ? 0 : below(std::min<int64_t>(run.reserved, 50) + 1);
        run.closed_at = now;
        sums.close(run.entry->run_id, run.charged, now);
        sums.close(run.entry->run_id, 0, now);  // it ends once
      }
      RunEntry wanted = entry_of("added");
      wanted.data_set = "x", wanted.team = "a";
      const Claim added{&wanted, &curves[static_cast<size_t>(below(3))], 1 + below(100), 0, {}};
      std::vector<Claim> with = all;
      with.push_back(added);
      const auto agree = [&](double said, double truth) {
        EXPECT_GE(said, truth * (1 - 1e-15)) << "seed " << seed << " step " << step;
        EXPECT_LE(said, truth * (1 + 1e-9)) << "seed " << seed << " step " << step;
      };
      if (below(3) == 0)  // what is not asked for at every step must hold too
        agree(sums.claimed("x", 1e-7, added),
              walked(with, orders, 1e-7, [](const Claim& run) { return run.entry->data_set == "x"; }));
      for (const Grant& grant : grants)
        agree(sums.claimed(grant, now, added),
              walked(with, orders, grant.delta, [&](const Claim& run) { return run.counts(grant, now); }));
      ASSERT_EQ(sums.open_runs(), std::ranges::count_if(all, [](const Claim& run) { return !run.closed_at; }));
      if (HasFailure()) return;
    }
  }
}

using LedgerClaimsTest = LedgerTest;

// Two programs take turns on one ledger, so that each must find what the other wrote. Whether a reservation fits the
// data set's cap and the grant is decided by a walk over all runs that the test keeps itself.
TEST_F(LedgerClaimsTest, WhoeverWroteBetweenAReservationIsRefusedExactlyWhereAWalkOverAllRunsRefusesIt) {
  int refused = 0, taken = 0;
  for (unsigned seed = 0; seed < 4; ++seed) {
    const std::filesystem::path path = path_.string() + std::to_string(seed);
    Ledger first = Ledger::open(path);
    first.set_cap("capped", 3, 1e-6);
    first.grant({.scope = {.data_set = "granted"}, .epsilon = 4, .delta = 1e-6});
    Ledger second = Ledger::open(path);
    const std::vector<double> orders =
        nlohmann::json::parse(first.rows().front().payload).at("filter_orders").get<std::vector<double>>();
    const RdpCurve curve = rdp_curve(entry_of("").event, entry_of("").relation, orders);
    std::mt19937_64 random(seed);
    const auto below = [&](size_t limit) { return static_cast<size_t>(random() % limit); };
    std::deque<RunEntry> entries;
    std::vector<Claim> all;
    for (int step = 0; step < 60; ++step) {
      Ledger& ledger = below(2) ? first : second;
      std::vector<Claim*> open;
      for (Claim& run : all)
        if (!run.closed_at) open.push_back(&run);
      if (const size_t what = below(10); what >= 6 && !open.empty()) {
        Claim& run = *open[below(open.size())];
        if (what < 8 && run.charged < run.reserved) {
          const int64_t last =
              run.charged + 1 + static_cast<int64_t>(below(static_cast<size_t>(run.reserved - run.charged)));
          ledger.charge(run.entry->run_id, run.charged + 1, last);
          run.charged = last;
        } else {
          ledger.release(run.entry->run_id);
          run.closed_at = 0;
        }
        continue;
      }
      RunEntry& wanted = entries.emplace_back(entry_of(cat("run ", step)));
      wanted.data_set = below(2) ? "capped" : "granted";
      wanted.data_hash = wanted.data_set;
      wanted.epsilon_cap = 1e6;
      wanted.planned_steps = 1 + static_cast<int64_t>(below(300));
      std::vector<Claim> with = all;
      with.push_back({&wanted, &curve, wanted.planned_steps, 0, {}});
      const double truth =
          walked(with, orders, 1e-6, [&](const Claim& run) { return run.entry->data_set == wanted.data_set; });
      const double limit = wanted.data_set == "capped" ? 3 : 4;
      if (std::abs(truth - limit) < 1e-9) continue;
      if (truth > limit) {
        EXPECT_THROW(ledger.reserve(wanted), Error) << "seed " << seed << " step " << step;
        ++refused;
      } else {
        EXPECT_NO_THROW(ledger.reserve(wanted)) << "seed " << seed << " step " << step;
        all.push_back(with.back());
        ++taken;
      }
    }
    const VerifyReport report = Ledger::verify(path);
    EXPECT_TRUE(report.ok) << (report.findings.empty() ? "" : report.findings.front());
  }
  EXPECT_GT(refused, 10);
  EXPECT_GT(taken, 10);
}

}  // namespace
}  // namespace sotto::accountants
