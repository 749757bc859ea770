#include "accountants/adaptive_filter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <type_traits>

#include "accountants/accountant.h"
#include "accountants/fixed_schedule.h"
#include "accountants/pld/pld_accountant.h"
#include "accountants/rdp/curve.h"
#include "accountants/rdp/orders.h"
#include "base/error.h"
#include "tests/accountants/reference.h"

namespace sotto::accountants {
namespace {

constexpr auto kAddRemove = NeighbouringRelation::add_remove;

// The trap, closed by types (tests/compile_fail has the compiler's words for it).
static_assert(!std::is_constructible_v<AdaptiveFilter, PldAccountant, NeighbouringRelation>);
static_assert(!std::is_constructible_v<AdaptiveFilter, FixedSchedule, NeighbouringRelation>);
static_assert(!std::is_constructible_v<AdaptiveFilter, Bracket, NeighbouringRelation>);
static_assert(!std::is_constructible_v<AdaptiveFilter, double, NeighbouringRelation>);
static_assert(!std::is_copy_constructible_v<AdaptiveFilter> && !std::is_copy_assignable_v<AdaptiveFilter>);
template <class T>
constexpr bool can_be_added_to = requires(T t, Event e) {
  t.compose(e);
}
|| requires(T t, Event e) {
  t.add(e);
}
|| requires(T t, Event e) {
  t.try_charge(e);
};
static_assert(!can_be_added_to<FixedSchedule> && can_be_added_to<AdaptiveFilter>);

Event gaussian(double noise_multiplier) {
  return {Gaussian{noise_multiplier}};
}
Event sampled(double noise_multiplier, double sample_rate) {
  return {PoissonSampledGaussian{noise_multiplier, sample_rate}};
}

TEST(AdaptiveFilter, TakesWhatFitsToTheLastBitAndNotOneUseMore) {
  // Σ 1/σ² = 100 / 100 = 1 = μ², though neither 1/100 nor its double times 100 is that.
  for (const int64_t at_once : {1, 4, 100}) {
    AdaptiveFilter gdp(GdpBudget{1}, kAddRemove), zcdp(ZcdpBudget{0.5}, kAddRemove);
    for (int64_t used = 0; used < 100; used += at_once) {
      EXPECT_TRUE(gdp.try_charge(gaussian(10), at_once)) << used;
      EXPECT_TRUE(zcdp.try_charge(gaussian(10), at_once)) << used;
    }
    EXPECT_FALSE(gdp.try_charge(gaussian(10)));
    EXPECT_FALSE(zcdp.try_charge(gaussian(10)));
    EXPECT_FALSE(gdp.try_charge(gaussian(1e9)));
  }
  AdaptiveFilter rdp(RdpBudget{{4}, {2}}, kAddRemove);  // α / 2σ² = 1/32
  EXPECT_EQ(rdp.uses_that_fit(gaussian(8)), 63) << "the curve of RDP itself is rounded up by some 1e-15";
}

TEST(AdaptiveFilter, WhatIsRefusedChargesNothing) {
  AdaptiveFilter filter(ZcdpBudget{1}, kAddRemove);
  EXPECT_TRUE(filter.try_charge(gaussian(1)));        // 0.5
  EXPECT_FALSE(filter.try_charge(gaussian(0.5), 1));  // 2
  EXPECT_FALSE(filter.try_charge(gaussian(2), 5));    // 0.625
  EXPECT_FALSE(filter.try_charge(gaussian(0)));
  EXPECT_FALSE(filter.try_charge(gaussian(1), int64_t{1} << 53));
  EXPECT_THROW((void)filter.try_charge(gaussian(1), -1), Error);
  EXPECT_THROW((void)filter.try_charge(gaussian(-1)), Error);
  EXPECT_THROW((void)filter.try_charge(sampled(1, 0.1)), Error);
  EXPECT_EQ(filter.uses_that_fit(gaussian(2)), 4) << "all of the other half is still there";
  EXPECT_TRUE(filter.try_charge(gaussian(2), 4));
  EXPECT_FALSE(filter.try_charge(gaussian(1e6)));
  EXPECT_TRUE(filter.try_charge(gaussian(1e6), 0));
}

TEST(AdaptiveFilter, ReplaceOneCostsFourTimesAddRemove) {
  AdaptiveFilter filter(GdpBudget{2}, NeighbouringRelation::replace_one);
  EXPECT_EQ(filter.uses_that_fit(gaussian(10)), 100);
}

// A stream whose every choice depends on what the filter said before. In long double, with the closed form α / 2σ² at
// one order: what was let pass is within the budget, and what was refused would not have been by more than rounding.
TEST(AdaptiveFilter, AStreamOfThousandsOfDifferentEventsStaysWithinItsBudget) {
  std::mt19937_64 random(7);
  AdaptiveFilter rdp(RdpBudget{{3}, {5}}, kAddRemove), zcdp(ZcdpBudget{1.6}, kAddRemove),
      gdp(GdpBudget{1.75}, kAddRemove);
  long double rdp_total = 0, zcdp_total = 0, gdp_total = 0;
  double sigma = 3;
  for (int i = 0; i < 20'000; ++i) {
    const int64_t count = 1 + static_cast<int64_t>(random() % 3);
    const long double part = count / (static_cast<long double>(sigma) * sigma);
    const bool paid = rdp.try_charge(gaussian(sigma), count);
    if (paid) rdp_total += part * 1.5L;
    EXPECT_EQ(paid || rdp_total + part * 1.5L > 5 * (1 - 1e-11L), true) << i;
    if (zcdp.try_charge(gaussian(sigma), count)) zcdp_total += part / 2;
    if (gdp.try_charge(gaussian(sigma), count)) gdp_total += part;
    ASSERT_LE(rdp_total, 5);
    ASSERT_LE(zcdp_total, 1.6L);
    ASSERT_LE(gdp_total, 3.0625L);
    sigma = (paid ? 20 : 200) * (0.5 + static_cast<double>(random() % 100'000) / 1e5);
  }
  EXPECT_GT(rdp_total, 4.999);
  EXPECT_GT(zcdp_total, 1.599L);
  EXPECT_GT(gdp_total, 3.06L);
}

TEST(AdaptiveFilter, RdpGoesOnWhileOneOrderIsWithinItsBound) {
  // Order 2 pays for 0.9 · σ², order 8 for 0.5 · σ² uses.
  AdaptiveFilter filter(RdpBudget{{2, 8}, {0.9, 2}}, kAddRemove);
  EXPECT_EQ(filter.uses_that_fit(gaussian(100)), 8999);
  EXPECT_TRUE(filter.try_charge(gaussian(100), 8000));
  EXPECT_FALSE(filter.try_charge(gaussian(100), 2000));
  EXPECT_TRUE(filter.try_charge(gaussian(100), 999));
}

TEST(AdaptiveFilter, ACompositionCostsWhatItsPartsDoOrNothingAtAll) {
  AdaptiveFilter filter(GdpBudget{1}, kAddRemove);
  const Event pair{Composed{{gaussian(10), Event{SelfComposed{gaussian(20), 4}}, Event{PostProcessing{}}}}};  // 2 / 100
  EXPECT_EQ(filter.uses_that_fit(pair), 50);
  EXPECT_TRUE(filter.try_charge(pair, 49));
  EXPECT_FALSE(filter.try_charge({Composed{{gaussian(10), pair}}}));
  EXPECT_THROW((void)filter.try_charge({Composed{{gaussian(10), sampled(1, 0.5)}}}), Error);
  EXPECT_FALSE(filter.try_charge({NonPrivate{}}));
  EXPECT_TRUE(filter.try_charge({PostProcessing{}}, 1000));
  EXPECT_TRUE(filter.try_charge(pair));
  EXPECT_FALSE(filter.try_charge(gaussian(1e6)));
}

TEST(AdaptiveFilter, AnOrderWithoutABoundIsLeftOut) {
  AdaptiveFilter filter(RdpBudget{{2, 8}, {INFINITY, 2}}, kAddRemove);
  EXPECT_LE(filter.uses_that_fit(gaussian(100)), 5000);
}

TEST(AdaptiveFilter, GdpRefusesWhatIsNoPlainGaussianAndSaysWhy) {
  AdaptiveFilter filter(GdpBudget{1}, kAddRemove);
  EXPECT_FALSE(filter.supports(sampled(1, 0.5)));
  EXPECT_TRUE(filter.supports(sampled(1, 1)));
  try {
    (void)filter.try_charge(sampled(1, 0.5));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::configuration);
    EXPECT_NE(std::string(error.what()).find("plain Gaussians only"), std::string::npos) << error.what();
  }
}

TEST(AdaptiveFilter, AnRdpBudgetHoldsWhatItWasMadeFor) {
  // Σ R(α) in budget at the end is, by the conversion with δ / m, what the budget promised: checked at the accountant's
  // own curve. A fixed schedule of the same steps costs less, a filter at most some 20 % more.
  for (const double epsilon : {0.5, 2.0, 8.0}) {
    AdaptiveFilter filter(RdpBudget::holding(epsilon, 1e-5), kAddRemove);
    const int64_t steps = filter.uses_that_fit(sampled(2, 0.01));
    ASSERT_GT(steps, 0);
    const FixedSchedule schedule(kAddRemove, {{sampled(2, 0.01), steps}});
    const double fixed = schedule.epsilon(1e-5, {.accountant = "rdp"}).upper;
    EXPECT_LT(fixed, epsilon);
    EXPECT_GT(fixed, epsilon * 0.78);
    const auto curve = rdp_curve(sampled(2, 0.01), kAddRemove, filter_orders());
    double best = INFINITY;
    for (size_t i = 0; i < curve.size(); ++i) {
      const double a = filter_orders()[i];
      best = std::min(best, static_cast<double>(steps) * curve[i] + std::log1p(-1 / a) -
                                (std::log(1e-5 / 12) + std::log(a)) / (a - 1));
    }
    EXPECT_LE(best, epsilon);
  }
}

TEST(Budget, AZcdpBudgetIsTheInverseOfTheReferenceConversion) {
  const auto cases = reference_cases("zcdp");
  ASSERT_GE(cases.size(), 4u);
  for (const auto& each : cases) {
    const double rho = each["params"]["rho"], delta = each["params"]["delta"], epsilon = each["lower"];
    EXPECT_NEAR(ZcdpBudget::holding(epsilon, delta).rho, rho, 1e-11 * rho) << each;
    EXPECT_GE(ZcdpBudget{rho}.epsilon(delta), epsilon * (1 - 1e-14));
    EXPECT_LE(ZcdpBudget{rho}.epsilon(delta), epsilon * (1 + 1e-12));
    EXPECT_EQ((ZcdpBudget{rho, delta}.epsilon(delta)), INFINITY) << "all of delta is gone";
    EXPECT_GT((ZcdpBudget{rho, delta / 2}.epsilon(delta)), epsilon);
  }
}

TEST(Budget, AGdpBudgetIsTheInverseOfTheClosedForm) {
  const auto cases = reference_cases("gdp");
  ASSERT_GE(cases.size(), 4u);
  for (const auto& each : cases) {
    if (!each["params"].contains("delta")) continue;
    const double mu = each["params"]["mu"];
    EXPECT_NEAR(GdpBudget::holding(each["lower"], each["params"]["delta"]).mu, mu, 1e-8 * mu) << each;
  }
}

TEST(Budget, BadOnesAreNamed) {
  for (const double bad : {0.0, -1.0, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    EXPECT_THROW(RdpBudget::holding(bad, 1e-5), Error) << bad;
    EXPECT_THROW(ZcdpBudget::holding(bad, 1e-5), Error) << bad;
    EXPECT_THROW(GdpBudget::holding(bad, 1e-5), Error) << bad;
    EXPECT_THROW(AdaptiveFilter(ZcdpBudget{bad}, kAddRemove), Error) << bad;
    EXPECT_THROW(AdaptiveFilter(GdpBudget{bad}, kAddRemove), Error) << bad;
  }
  for (const double bad : {0.0, 1.0, static_cast<double>(NAN)}) EXPECT_THROW(ZcdpBudget::holding(1, bad), Error) << bad;
  EXPECT_THROW(AdaptiveFilter(RdpBudget{{2, 3}, {1}}, kAddRemove), Error);
  EXPECT_THROW(AdaptiveFilter(RdpBudget{{2}, {NAN}}, kAddRemove), Error);
  EXPECT_THROW(AdaptiveFilter(ZcdpBudget{1, 1}, kAddRemove), Error);
  EXPECT_THROW(RdpBudget::holding(1e-9, 1e-30), Error) << "no order reaches it";
}

}  // namespace
}  // namespace sotto::accountants
