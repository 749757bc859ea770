#include <gtest/gtest.h>

#include <cmath>

#include "accountants/pld/pld_accountant.h"
#include "base/error.h"
#include "tests/accountants/reference.h"

namespace sotto::accountants {
namespace {

constexpr auto kAddRemove = NeighbouringRelation::add_remove;
constexpr auto kReplaceOne = NeighbouringRelation::replace_one;
constexpr auto kZeroOut = NeighbouringRelation::zero_out;

PldAccountant composed(const std::vector<std::pair<Event, int64_t>>& uses, NeighbouringRelation relation = kAddRemove,
                       double gap = 1e-3) {
  PldAccountant accountant(relation, {.relative_gap = gap});
  for (const auto& [event, count] : uses) accountant.compose(event, count);
  return accountant;
}

// What a reference case composes.
PldAccountant from_case(const nlohmann::json& each) {
  const auto& p = each["params"];
  const std::string family = each["family"];
  const int64_t steps = p.value("steps", int64_t{1});
  if (family == "laplace") {
    const Event laplace{Laplace{p["b"].get<double>() / p["sensitivity"].get<double>()}};
    const double rate = p["q"];
    return composed({{rate == 1 ? laplace : poisson_sampled(rate, laplace), steps}});
  }
  if (family == "discrete_laplace")
    return composed({{{DiscreteLaplace{1 / p["a"].get<double>(), p["sensitivity"]}}, steps}});
  if (family == "discrete_gaussian") return composed({{{DiscreteGaussian{p["sigma"], p["sensitivity"]}}, steps}});
  if (family == "randomized_response") return composed({{{RandomizedResponse{p["eps0"], p["k"]}}, steps}}, kReplaceOne);
  if (family == "kfold_eps_delta") return composed({{{EpsilonDelta{p["eps0"], p["delta0"]}}, p["k"]}});
  if (family == "replace_one") return composed({{{PoissonSampledGaussian{p["sigma"], p["q"]}}, steps}}, kReplaceOne);
  if (family == "tree_aggregation") {
    const Event tree{TreeAggregation{p["sigma"], p["steps_per_epoch"]}};
    return composed({{{SelfComposed{tree, p.value("epochs", int64_t{1})}}, 1}}, kZeroOut);
  }
  if (family == "bandmf_amplified")
    return composed({{{BandedMatrixFactorisation{p["sigma"], p["q_per_step"], p["bands"], p["iterations"]}}, 1}});
  std::vector<std::pair<Event, int64_t>> parts;
  for (const auto& part : p["parts"]) {
    if (part[0] == "lap")
      parts.push_back({{Laplace{part[1]}}, part[2]});
    else
      parts.push_back({{PoissonSampledGaussian{part[1], part[2]}}, part[3]});
  }
  return composed(parts);
}

TEST(PldEvents, BracketsMeetTheReferencesFromBothSidesAndAreAsNarrowAsAsked) {
  int compared = 0;
  for (const char* family : {"laplace", "discrete_laplace", "discrete_gaussian", "randomized_response",
                             "kfold_eps_delta", "heterogeneous", "replace_one", "tree_aggregation", "bandmf_amplified"})
    for (const auto& each : reference_cases(family, "reference_events.json")) {
      const Bracket got = from_case(each).epsilon_bracket(each["params"]["delta"]);
      // The references are float64, good to about 1e-9.
      EXPECT_GE(got.upper, each["lower"].get<double>() * (1 - 1e-9)) << each;
      EXPECT_LE(got.lower, each["upper"].get<double>() * (1 + 1e-9)) << each;
      EXPECT_LE(got.lower, got.upper) << each;
      EXPECT_LE(got.upper - got.lower, 1e-3 * got.upper) << each << got.lower << " " << got.upper;
      ++compared;
    }
  EXPECT_EQ(compared, 32);
}

TEST(PldEvents, EveryUseOfRandomizedResponseCounts) {
  // dp-accounting 0.6.0 ignores the count of randomised-response events and reports 1.00 for fifty. δ after n uses is a
  // binomial sum; 45.68 is where it meets 1e-5.
  const Event one{RandomizedResponse{1, 2}};
  PldAccountant single(kReplaceOne);
  for (int i = 0; i < 50; ++i) single.compose(one);
  for (const PldAccountant& accountant :
       {composed({{one, 50}}, kReplaceOne), composed({{{SelfComposed{one, 50}}, 1}}, kReplaceOne),
        composed({{{SelfComposed{one, 5}}, 10}}, kReplaceOne), single}) {
    const Bracket got = accountant.epsilon_bracket(1e-5);
    EXPECT_GT(got.lower, 45.67);
    EXPECT_LT(got.upper, 45.69);
  }
}

// (ε0, δ0), k-fold: with probability 1 − (1 − δ0)^k all is lost, else k bits of randomised response (Kairouz, Oh,
// Viswanath 2015, Theorem 3.3).
long double kfold_delta(long double epsilon0, long double delta0, int k, long double epsilon) {
  const long double truth = -std::log1p(std::exp(-epsilon0)), lie = -std::log1p(std::exp(epsilon0));
  long double sum = 0;
  for (int bits = 0; bits <= k; ++bits) {
    const long double loss = epsilon0 * (2 * bits - k);
    if (loss <= epsilon) continue;
    const long double log_mass = std::lgamma(k + 1.0L) - std::lgamma(bits + 1.0L) - std::lgamma(k - bits + 1.0L) +
                                 bits * truth + (k - bits) * lie;
    sum += std::exp(log_mass) * -std::expm1(epsilon - loss);
  }
  const long double kept = std::exp(k * std::log1p(-delta0));
  return 1 - kept + kept * sum;
}

TEST(PldEvents, KFoldEpsilonDeltaAgreesWithItsClosedForm) {
  for (const auto& [epsilon0, delta0, k] : {std::tuple{0.5, 1e-6, 20},
                                            {0.1, 1e-4, 100},
                                            {2.0, 0.01, 3},
                                            {0.01, 0.0, 400},
                                            {1.0, 1e-9, 1},
                                            {0.0, 1e-3, 5}}) {
    const auto accountant = composed({{{EpsilonDelta{epsilon0, delta0}}, k}}, kAddRemove, 1e-6);
    for (const double share : {0.0, 0.2, 0.5, 0.9}) {
      const double epsilon = share * epsilon0 * k;
      const long double truth = kfold_delta(epsilon0, delta0, k, epsilon);
      const Bracket got = accountant.delta_bracket(epsilon);
      EXPECT_GE(got.upper, truth * (1 - 1e-13L)) << epsilon0 << " " << delta0 << " " << k << " " << share;
      EXPECT_LE(got.lower, truth * (1 + 1e-13L)) << epsilon0 << " " << delta0 << " " << k << " " << share;
      // Uses that lose all are added up as if no two did.
      EXPECT_LE(got.upper - got.lower, (1e-6 + delta0 * k / 2) * got.upper) << epsilon0 << " " << delta0 << " " << k;
    }
  }
  const auto lost = composed({{{EpsilonDelta{0.1, 1e-3}}, 10}}).epsilon_bracket(1e-3);
  EXPECT_EQ(lost.lower, INFINITY) << "more is lost for certain than delta allows";
  EXPECT_EQ(composed({{{EpsilonDelta{0.1, 0}}, 10}}).epsilon(0), 1 + 1e-12) << "pure: ten times 0.1, rounded up";
}

// δ of one use straight from the definition in long double: outputs at `from` + i · width with P and Q densities.
template <class Density>
long double one_use(Density density, double from, double to, double width, double epsilon) {
  long double remove = 0, add = 0;
  for (double x = from; x <= to; x += width) {
    const auto [p, q] = density(static_cast<long double>(x));
    remove += std::max(0.0L, p - std::exp(static_cast<long double>(epsilon)) * q);
    add += std::max(0.0L, q - std::exp(static_cast<long double>(epsilon)) * p);
  }
  return std::max(remove, add) * static_cast<long double>(width);
}

using Pair = std::pair<long double, long double>;
long double laplace(long double x, long double b) {
  return std::exp(-std::abs(x) / b) / (2 * b);
}
long double normal(long double x, long double sigma) {
  return std::exp(-x * x / (2 * sigma * sigma)) / (sigma * std::sqrt(2 * std::acos(-1.0L)));
}
long double geometric(long double x, long double scale) {
  return std::exp(-std::abs(x) / scale) * std::tanh(1 / (2 * scale));
}
long double discrete_normal(long double x, long double sigma) {
  static long double known = 0, sum = 0;
  if (known != sigma) {
    sum = 0;
    for (int k = -400; k <= 400; ++k) sum += std::exp(-k * k / (2 * sigma * sigma));
    known = sigma;
  }
  return std::exp(-x * x / (2 * sigma * sigma)) / sum;
}

void expect_brackets(const Event& event, NeighbouringRelation relation, long double truth, double epsilon) {
  const Bracket got = composed({{event, 1}}, relation, 1e-4).delta_bracket(epsilon);
  // The midpoint rule is off by less than 1e-8 at kinks; sums over integers by rounding alone.
  EXPECT_GE(got.upper, truth * (1 - 1e-8L)) << to_json(event) << " " << epsilon;
  EXPECT_LE(got.lower, truth * (1 + 1e-8L)) << to_json(event) << " " << epsilon;
  EXPECT_LE(got.upper - got.lower, 1e-3 * got.upper) << to_json(event) << " " << epsilon;
}

TEST(PldEvents, OneUseAgreesWithItsDefinitionInLongDouble) {
  const double q = 0.2;
  for (const double epsilon : {0.01, 0.1, 0.3}) {
    const auto apart = [&](auto noise, double scale, double from, double to, double width,
                           NeighbouringRelation relation) {
      return one_use(
          [&](long double x) {
            const long double at = noise(x, scale), over = noise(x - 1, scale), under = noise(x + 1, scale);
            return relation == kReplaceOne ? Pair{(1 - q) * at + q * over, (1 - q) * at + q * under}
                                           : Pair{(1 - q) * at + q * over, at};
          },
          from, to, width, epsilon);
    };
    for (const auto relation : {kAddRemove, kZeroOut, kReplaceOne}) {
      const Event small_laplace{PoissonSampled{q, Event{Laplace{0.8}}}};
      const Event small_geometric{PoissonSampled{q, Event{DiscreteLaplace{0.8, 1}}}};
      const Event small_discrete{PoissonSampled{q, Event{DiscreteGaussian{0.8, 1}}}};
      expect_brackets(small_laplace, relation, apart(laplace, 0.8, -30 + 0.5e-4, 30, 1e-4, relation), epsilon);
      expect_brackets(small_geometric, relation, apart(geometric, 0.8, -60, 60, 1, relation), epsilon);
      expect_brackets(small_discrete, relation, apart(discrete_normal, 0.8, -60, 60, 1, relation), epsilon);
    }
    expect_brackets({PoissonSampledGaussian{0.8, q}}, kReplaceOne,
                    apart(normal, 0.8, -12 + 0.5e-4, 12, 1e-4, kReplaceOne), epsilon);
    expect_brackets({MixtureOfGaussians{0.8, {0.5, 1, 2}, {0.5, 0.3, 0.2}}}, kAddRemove,
                    one_use(
                        [](long double x) {
                          return Pair{
                              0.5L * normal(x - 0.5L, 0.8L) + 0.3L * normal(x - 1, 0.8L) + 0.2L * normal(x - 2, 0.8L),
                              normal(x, 0.8L)};
                        },
                        -12 + 0.5e-4, 14, 1e-4, epsilon),
                    epsilon);
  }
}

TEST(PldEvents, TwoWaysToSayTheSameThingOverlap) {
  const auto same = [](const PldAccountant& one, const PldAccountant& other) {
    for (const double delta : {1e-12, 1e-5, 0.01}) {
      const Bracket a = one.epsilon_bracket(delta), b = other.epsilon_bracket(delta);
      EXPECT_LE(std::max(a.lower, b.lower), std::min(a.upper, b.upper)) << delta;
      EXPECT_LE(a.upper - a.lower, 1e-3 * a.upper) << delta;
      EXPECT_LE(b.upper - b.lower, 1e-3 * b.upper) << delta;
    }
  };
  same(composed({{{MixtureOfGaussians{1, {0, 1}, {0.9, 0.1}}}, 50}}),
       composed({{{PoissonSampledGaussian{1, 0.1}}, 50}}));
  same(composed({{{MixtureOfGaussians{2, {1}, {1}}}, 9}}), composed({{{Gaussian{2}}, 9}}));
  same(composed({{{Laplace{6}}, 40}}, kReplaceOne), composed({{{Laplace{3}}, 40}}));
  same(composed({{{DiscreteLaplace{6, 2}}, 40}}, kReplaceOne), composed({{{DiscreteLaplace{6, 4}}, 40}}));
  same(composed({{{DiscreteGaussian{6, 1}}, 40}}, kReplaceOne), composed({{{DiscreteGaussian{6, 2}}, 40}}));
  same(composed({{{EpsilonDelta{0.3, 0}}, 40}}, kReplaceOne),
       composed({{{RandomizedResponse{0.3, 2}}, 40}}, kReplaceOne));
  // Wide discrete noise is nearly Gaussian; the losses of a use are 6e-4 apart.
  EXPECT_NEAR(
      composed({{{DiscreteGaussian{400, 100}}, 30}}).epsilon(1e-5) / composed({{{Gaussian{4}}, 30}}).epsilon(1e-5), 1,
      1e-6);
}

TEST(PldEvents, OfSelectionOnlyTheEpsilonIsKnownAndOnlyFromAbove) {
  const Bracket pure = composed({{{EpsilonDelta{0.5, 0}}, 20}}).epsilon_bracket(1e-6);
  for (const Event& event :
       {Event{ExponentialMechanism{0.5, false}}, Event{ReportNoisyMax{4, false}}, Event{ReportNoisyMax{2, true}},
        Event{SparseVector{4, 40, 5, false}}, Event{SparseVector{4, 20, 5, true}}}) {
    const Bracket got = composed({{event, 20}}).epsilon_bracket(1e-6);
    // The exponential mechanism's losses have a small range, which RDP knows of.
    if (!std::holds_alternative<ExponentialMechanism>(event.mechanism)) {
      EXPECT_GE(got.upper, pure.lower) << to_json(event);
    }
    EXPECT_LE(got.upper, pure.upper * (1 + 1e-3)) << to_json(event);
    EXPECT_EQ(got.lower, 0) << to_json(event);
  }
}

TEST(PldEvents, SamplingAnEpsilonDeltaAmplifiesIt) {
  const double epsilon = 0.5, rate = 0.1, amplified = std::log(1 + rate * (std::exp(epsilon) - 1));
  for (const auto relation : {kAddRemove, kZeroOut}) {
    const Bracket truth = composed({{{EpsilonDelta{amplified, 1e-9}}, 30}}).epsilon_bracket(1e-6);
    const Bracket got =
        composed({{{PoissonSampled{rate, Event{EpsilonDelta{epsilon, 1e-8}}}}, 30}}, relation).epsilon_bracket(1e-6);
    EXPECT_GE(got.upper, truth.lower * (1 - 1e-9));
    EXPECT_LE(got.upper, truth.upper * (1 + 1e-3));
    EXPECT_EQ(got.lower, 0) << "sampling may amplify more";
  }
  EXPECT_THROW(composed({{{PoissonSampled{rate, Event{EpsilonDelta{epsilon, 0}}}}, 1}}, kReplaceOne), Error);
}

TEST(PldEvents, TruncatedLaplaceNoiseTellsAllWhereItEnds) {
  // The noise is at most `bound`; one unit moves the sum by 1. What is beyond, by the midpoint rule in long double.
  for (const auto& [scale, bound] : {std::pair{1.0, 12.0}, {0.5, 3.0}, {2.0, 0.8}}) {
    long double all = 0, outside = 0;
    for (int i = 0; i < 200'000; ++i) {
      const long double x = bound * (2 * (i + 0.5L) / 200'000 - 1), density = std::exp(-std::abs(x) / scale);
      all += density;
      if (x > bound - 1) outside += density;
    }
    const auto accountant = composed({{{TruncatedLaplace{scale, bound}}, 1}});
    EXPECT_NEAR(accountant.delta(1 / scale + 1e-6), static_cast<double>(outside / all), 1e-4 * outside / all);
    EXPECT_GE(accountant.delta(1 / scale + 1e-6), outside / all * (1 - 1e-4));
  }
  EXPECT_EQ(composed({{{TruncatedLaplace{1, 0.5}}, 1}}).delta(100), 1) << "no output fits both";
  EXPECT_EQ(composed({{{TruncatedLaplace{1, 1}}, 1}}, kReplaceOne).delta(100), 1);
}

TEST(PldEvents, ExtremesGiveABracketAndNeverNan) {
  for (const auto relation : {kAddRemove, kReplaceOne})
    for (const double noise : {0.0, 0.2, 1000.0, 1e60})
      for (const double rate : {1e-200, 1e-6, 1.0})
        for (const int64_t count : {int64_t{1}, int64_t{100'000'000}}) {
          std::vector<Event> events{{Laplace{noise}}, {DiscreteLaplace{noise, 1}}};
          if (noise > 0.1 && noise < 1) events.push_back({DiscreteGaussian{noise, 1}});
          for (Event& event : events)
            if (rate < 1) event = poisson_sampled(rate, event);
          for (const Event& event : events) {
            // Small limits: brackets are wider then, and as certain.
            PldAccountant accountant(relation,
                                     {.relative_gap = 1e-2, .largest_transform = 1 << 15, .most_levels = 1 << 14});
            accountant.compose(event, count);
            for (const double delta : {1e-30, 1e-6}) {
              const Bracket got = accountant.epsilon_bracket(delta);
              EXPECT_TRUE(0 <= got.lower && got.lower <= got.upper) << to_json(event) << " " << count << " " << delta;
              EXPECT_TRUE(noise == 0 || std::isfinite(got.upper)) << to_json(event) << " " << count << " " << delta;
            }
            for (const double epsilon : {1e-6, 500.0}) {
              const Bracket got = accountant.delta_bracket(epsilon);
              EXPECT_TRUE(0 <= got.lower && got.lower <= got.upper && got.upper <= 1)
                  << to_json(event) << " " << count << " " << epsilon;
            }
          }
        }
}

}  // namespace
}  // namespace sotto::accountants
