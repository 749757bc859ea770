#include "accountants/calibrate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "accountants/accountant.h"
#include "accountants/search.h"
#include "base/error.h"
#include "tests/accountants/reference.h"

namespace sotto::accountants {
namespace {

double epsilon(double noise_multiplier, double sample_rate, int64_t steps, double delta) {
  const auto accountant = make_accountant("rdp", NeighbouringRelation::add_remove);
  accountant->compose(Event{PoissonSampledGaussian{noise_multiplier, sample_rate}}, steps);
  return accountant->epsilon(delta);
}

TEST(NoiseMultiplierFor, NeverExceedsTheTargetAndIsTheSmallestTo1e4) {
  for (const double target : {0.05, 1.0, 3.0, 8.0, 50.0})
    for (const auto& [q, steps] : {std::pair{1e-4, 100000}, {0.01, 1}, {0.0735, 400}, {0.5, 100}, {1.0, 10}})
      for (const double delta : {1e-12, 1e-5}) {
        const double noise = noise_multiplier_for(target, delta, q, steps);
        EXPECT_LE(epsilon(noise, q, steps, delta), target) << target << " " << q << " " << steps;
        EXPECT_GT(epsilon(noise * (1 - 1e-4), q, steps, delta), target) << target << " " << q << " " << steps;
      }
}

TEST(NoiseMultiplierFor, IsNeverBelowTheReferenceNorAboveThePeersRdp) {
  const auto cases = reference_cases("calibration");
  ASSERT_GE(cases.size(), 5u);
  for (const auto& each : cases) {
    const auto& p = each["params"];
    const double noise = noise_multiplier_for(p["target_epsilon"], p["delta"], p["q"], p["steps"]);
    EXPECT_GE(noise, each["lower"].get<double>()) << each;
    EXPECT_LE(noise, each["peer_rdp"].get<double>() * (1 + 1e-3)) << each;
  }
}

TEST(NoiseMultiplierFor, SaysWhatIsWrong) {
  const struct {
    double target, delta, q;
    int64_t steps;
    const char* part;
  } cases[] = {
      {0, 1e-5, 0.1, 10, "target epsilon must be finite and above 0, got 0"},
      {INFINITY, 1e-5, 0.1, 10, "got inf"},
      {1, 0, 0.1, 10, "delta must be above 0 and below 1, got 0"},
      {1, 1e-5, 0, 10, "sample_rate must be above 0"},
      {1, 1e-5, 0.1, 0, "steps must be at least 1, got 0"},
      {1e-9, 1e-30, 1, 1000000, "no noise reaches epsilon 1e-09"},
      {1e12, 1e-5, 1, 1, "so loose"},
  };
  for (const auto& each : cases) try {
      noise_multiplier_for(each.target, each.delta, each.q, each.steps);
      ADD_FAILURE() << each.part;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::configuration);
      EXPECT_NE(std::string(error.what()).find(each.part), std::string::npos) << error.what();
    }
  EXPECT_THROW(noise_multiplier_for(1, 1e-5, 0.1, 10, "moments"), Error);
}

TEST(MaxSteps, IsTheLastStepThatFits) {
  const auto cases = reference_cases("stop_at_budget");
  ASSERT_GE(cases.size(), 3u);
  for (const auto& each : cases) {
    const auto& p = each["params"];
    const int64_t steps = max_steps(p["budget_epsilon"], p["delta"], p["sigma"], p["q"]);
    EXPECT_LE(epsilon(p["sigma"], p["q"], steps, p["delta"]), p["budget_epsilon"].get<double>()) << each;
    EXPECT_GT(epsilon(p["sigma"], p["q"], steps + 1, p["delta"]), p["budget_epsilon"].get<double>()) << each;
    EXPECT_LE(steps, each["upper"].get<int64_t>()) << "more than the exact accountant allows: " << each;
    EXPECT_GE(steps, each["peer_rdp"].get<int64_t>()) << each;
  }
}

TEST(MaxSteps, ZeroWhenOneStepIsTooMuchAndAnErrorWhenNothingLimits) {
  EXPECT_EQ(max_steps(0.1, 1e-5, 1, 1), 0);
  EXPECT_EQ(max_steps(0.1, 1e-5, 0, 0.5), 0);
  EXPECT_THROW(max_steps(1, 1e-5, 1, 0), Error);
}

Target pld(double epsilon, double delta) {
  return {epsilon, delta, "pld"};
}

TEST(Calibrate, NoiseByPldIsTheReferenceTo1e4) {
  for (const auto& each : reference_cases("calibration")) {
    const auto& p = each["params"];
    const double rate = p["q"];
    const Calibration found = least_noise(pld(p["target_epsilon"], p["delta"]), p["steps"], [&](double noise) {
      return Event{PoissonSampledGaussian{noise, rate}};
    });
    EXPECT_GE(found.fits->value, each["lower"].get<double>()) << each;
    EXPECT_LE(found.fits->value, each["upper"].get<double>() * (1 + 1e-4)) << each;
    EXPECT_LE(found.fits->epsilon.upper, p["target_epsilon"].get<double>()) << each;
    EXPECT_GT(found.fails->epsilon.lower, p["target_epsilon"].get<double>()) << "no proof: " << each;
    EXPECT_LE(found.fits->value / found.fails->value, 1 + 1.01e-4) << each;
  }
}

TEST(Calibrate, StepsByPldAreTheReferenceAndOneMoreIsProvenTooMany) {
  for (const auto& each : reference_cases("stop_at_budget")) {
    const auto& p = each["params"];
    const Calibration found =
        most_steps(pld(p["budget_epsilon"], p["delta"]), {PoissonSampledGaussian{p["sigma"], p["q"]}});
    EXPECT_GE(found.fits->value, each["lower"].get<double>()) << each;
    EXPECT_LE(found.fits->value, each["upper"].get<double>()) << each;
    EXPECT_EQ(found.fails->value, found.fits->value + 1) << each;
    EXPECT_LE(found.fits->epsilon.upper, p["budget_epsilon"].get<double>()) << each;
    EXPECT_GT(found.fails->epsilon.lower, p["budget_epsilon"].get<double>()) << each;
  }
}

std::function<Event(double)> sampled(double noise_multiplier) {
  return [=](double rate) { return Event{PoissonSampledGaussian{noise_multiplier, rate}}; };
}

// A published ε of (σ, q, steps) turned around: a budget of its upper end must allow these σ, q and steps, one below
// its lower end must not.
TEST(Calibrate, FindsEachParameterOfAReferenceCaseAgain) {
  size_t tried = 0;
  for (const auto& each : reference_cases("sampled_gaussian")) {
    const auto& p = each["params"];
    const double sigma = p["sigma"], rate = p["q"], delta = p["delta"];
    const int64_t steps = p["steps"];
    const double lower = each["lower"], upper = each["upper"];
    if (rate == 1 || upper / lower > 1 + 1e-5 || delta < 1e-9 || lower < 0.1 || rate < 1e-3) continue;
    ++tried;
    const auto step = [&](double noise) { return Event{PoissonSampledGaussian{noise, rate}}; };
    EXPECT_LE(least_noise(pld(upper, delta), steps, step).fits->value, sigma * (1 + 2e-4)) << each;
    EXPECT_GT(least_noise(pld(lower * (1 - 1e-3), delta), steps, step).fits->value, sigma) << each;
    const auto at = [&](double target, const Parameter& parameter) {
      return calibrate(pld(target, delta), parameter).fits->value;
    };
    EXPECT_GE(at(upper, sample_rate_parameter(steps, sampled(sigma))), rate * (1 - 2e-4)) << each;
    EXPECT_LT(at(lower * (1 - 1e-3), sample_rate_parameter(steps, sampled(sigma))), rate) << each;
    // A whole number needs room for the bracket's own width.
    EXPECT_GE(at(upper * (1 + 1e-4), steps_parameter(step(sigma))), static_cast<double>(steps)) << each;
    EXPECT_GE(at(upper, batch_parameter(steps, 100'000, sampled(sigma))), std::floor(1e5 * rate * (1 - 2e-4)) - 1)
        << each;
    EXPECT_LE(at(upper, batch_parameter(steps, 100'000, sampled(sigma))), std::ceil(1e5 * rate * (1 + 2e-4)) + 1)
        << each;
  }
  EXPECT_GE(tried, 8u);
}

TEST(Calibrate, SaysWhichEndOfTheRangeStopsIt) {
  const Calibration all = calibrate({100, 1e-5}, sample_rate_parameter(1, sampled(1)));
  EXPECT_EQ(all.fits->value, 1);
  EXPECT_FALSE(all.fails);
  const Calibration none = calibrate({1e-3, 1e-5}, batch_parameter(1000, 60, sampled(1)));
  EXPECT_FALSE(none.fits);
  EXPECT_EQ(none.fails->value, 1);
  EXPECT_THROW(most_steps({1, 1e-5}, {PoissonSampledGaussian{1, 0}}), Error);
}

// Costs that no accountant has: the search must end where they say, and soon.
TEST(Search, FindsTheEdgeOfWhateverGrows) {
  const struct {
    const char* what;
    std::function<double(double)> cost;
    double edge;
  } cases[] = {
      {"a line", [](double x) { return x; }, 1},
      {"a power", [](double x) { return std::pow(x / 1e3, 7); }, 1e3},
      {"a root", [](double x) { return std::sqrt(std::sqrt(x / 1e-8)); }, 1e-8},
      {"a wall", [](double x) { return x < 20 ? 1e-9 : std::numeric_limits<double>::infinity(); }, 20},
      {"nothing, then much", [](double x) { return x < 3 ? 0.0 : 1e9; }, 3},
      {"nearly flat, then steep", [](double x) { return x < 700 ? 0.9 + 1e-5 * x : 0.907 * x / 700; }, 700 / 0.907},
      {"a kink", [](double x) { return x < 5 ? x / 5 : std::pow(x / 5, 40); }, 5},
  };
  for (const auto& each : cases)
    for (const double guess : {1e-9, 1.0, 1e9}) {
      int calls = 0;
      Parameter parameter{1e-12, 1e12, {}};
      const Calibration found = search(parameter, guess, 1, [&](double value, double) {
        ++calls;
        return Bracket{0, each.cost(value)};
      });
      EXPECT_LE(each.cost(found.fits->value), 1) << each.what;
      EXPECT_GT(each.cost(found.fails->value), 1) << each.what;
      EXPECT_NEAR(found.fits->value / each.edge, 1, 1.1e-4) << each.what << " from " << guess;
      EXPECT_LE(calls, 120) << each.what << " from " << guess;
      parameter.whole = true;
      parameter.least = 1;
      if (guess < 1 || each.edge < 1) continue;
      const double most = search(parameter, guess, 1, [&](double value, double) {
                            return Bracket{0, each.cost(value)};
                          }).fits->value;
      EXPECT_LE(each.cost(most), 1) << each.what;
      EXPECT_GT(each.cost(most + 1), 1) << each.what << " from " << guess;
    }
}

// Wide brackets are cheap and must not decide what lies within them.
TEST(Search, ABracketThatHoldsTheTargetIsAskedForAgainNarrower) {
  double narrowest = 1;
  Parameter parameter{1e-6, 1e6, {}};
  const Calibration found = search(parameter, 2.9, 1, [&](double value, double gap) {
    narrowest = std::min(narrowest, gap);
    return Bracket{value / 3 * (1 - gap / 2), value / 3 * (1 + gap / 2)};
  });
  EXPECT_LE(found.fits->epsilon.upper, 1);
  EXPECT_GT(found.fails->epsilon.lower, 1);
  EXPECT_NEAR(found.fits->value, 3, 3e-4);
  EXPECT_LE(narrowest, 1e-4);
}

// Where narrow brackets are not to be had the answer is as near as they allow, with its proof, and soon.
TEST(Search, EndsWhereBracketsAreNeverNarrowEnough) {
  for (const bool whole : {false, true})
    for (const double narrowest : {1e-4, 1e-3, 0.05}) {
      int calls = 0;
      Parameter parameter{1, 1e9, {}};
      parameter.whole = whole;
      const Calibration found = search(parameter, 100, 1, [&](double value, double gap) {
        ++calls;
        const double width = std::max(0.6 * gap, narrowest), cost = std::sqrt(value / 123456.7);
        return Bracket{cost * (1 - width / 3), cost * (1 + width * 2 / 3)};
      });
      EXPECT_LE(found.fits->epsilon.upper, 1);
      EXPECT_GT(found.fails->epsilon.lower, 1);
      EXPECT_LE(found.fails->value / found.fits->value - 1, 8 * narrowest)
          << "ε is its root: 2 brackets are 4 values wide";
      EXPECT_LE(calls, 25) << narrowest;
    }
}

}  // namespace
}  // namespace sotto::accountants
