#include "accountants/calibrate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "accountants/accountant.h"
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

}  // namespace
}  // namespace sotto::accountants
