#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace sotto {
namespace {

constexpr int64_t kUnits = 20000, kSteps = 300;
constexpr double kRate = 0.037;

// drawn[step][unit]
std::vector<std::vector<uint8_t>> draws(const RunKey& key) {
  const PoissonSampler sampler(key, kRate, kUnits);
  std::vector<std::vector<uint8_t>> drawn(kSteps, std::vector<uint8_t>(kUnits, 0));
  for (uint64_t step = 0; step < kSteps; ++step)
    for (const int64_t unit : sampler.draw(step).units) drawn[step].at(static_cast<size_t>(unit)) = 1;
  return drawn;
}

// Standard deviations between a count of `trials` and its expectation.
double deviations(double count, double trials, double rate) {
  return (count - trials * rate) / std::sqrt(trials * rate * (1 - rate));
}

TEST(PoissonSampler, DrawsEachUnitAtItsRateAndIndependently) {
  const auto drawn = draws(RunKey::from_seed(1));
  double total = 0, both_steps = 0, both_units = 0, sizes = 0, by_unit = 0;
  std::vector<double> counts(kUnits, 0);
  for (size_t step = 0; step < kSteps; ++step) {
    double size = 0;
    for (size_t unit = 0; unit < kUnits; ++unit) {
      size += drawn[step][unit];
      counts[unit] += drawn[step][unit];
      if (step > 0) both_steps += drawn[step][unit] & drawn[step - 1][unit];
      if (unit > 0) both_units += drawn[step][unit] & drawn[step][unit - 1];
    }
    total += size;
    sizes += std::pow(deviations(size, kUnits, kRate), 2);
    EXPECT_LT(std::abs(deviations(size, kUnits, kRate)), 5) << "batch size of step " << step;
  }
  for (const double count : counts) by_unit += std::pow(deviations(count, kSteps, kRate), 2);
  // The key is fixed: these are checks of one draw, each passed by a fair sampler except once in 10^6.
  EXPECT_LT(std::abs(deviations(total, double(kUnits) * kSteps, kRate)), 5);
  EXPECT_LT(std::abs(deviations(both_steps, double(kUnits) * (kSteps - 1), kRate * kRate)), 5) << "steps depend on each other";
  EXPECT_LT(std::abs(deviations(both_units, double(kUnits - 1) * kSteps, kRate * kRate)), 5) << "units depend on each other";
  // Chi-squared with n degrees of freedom has variance 2n: batch sizes are binomial, not fixed, and no unit is favoured.
  EXPECT_NEAR(sizes, kSteps, 5 * std::sqrt(2.0 * kSteps));
  EXPECT_NEAR(by_unit, kUnits, 5 * std::sqrt(2.0 * kUnits));
}

TEST(PoissonSampler, IsAFunctionOfKeyAndStepAlone) {
  const RunKey key = RunKey::from_seed(1), other = RunKey::from_seed(2);
  const PoissonSampler sampler(key, 0.5, 1000);
  EXPECT_EQ(sampler.draw(3).units, PoissonSampler(key, 0.5, 1000).draw(3).units);
  EXPECT_NE(sampler.draw(3).units, sampler.draw(4).units);
  EXPECT_NE(sampler.draw(3).units, PoissonSampler(other, 0.5, 1000).draw(3).units);
  // A unit's fate does not depend on who else is in the data set: what add/remove neighbours need.
  auto shorter = PoissonSampler(key, 0.5, 400).draw(3).units, all = sampler.draw(3).units;
  all.erase(std::lower_bound(all.begin(), all.end(), 400), all.end());
  EXPECT_EQ(all, shorter);
}

TEST(PoissonSampler, TheEdges) {
  const RunKey key = RunKey::from_seed(1);
  const Batch all = PoissonSampler(key, 1.0, 5000).draw(9);
  ASSERT_EQ(all.size(), 5000);
  for (int64_t unit = 0; unit < 5000; ++unit) EXPECT_EQ(all.units[static_cast<size_t>(unit)], unit);
  EXPECT_EQ(PoissonSampler(key, 1e-300, 5000).draw(0).size(), 0) << "an empty batch is a valid draw";
  EXPECT_EQ(PoissonSampler(key, 0.5, 0).draw(0).size(), 0);
  for (const double rate : {0.0, -0.1, 1.0000001, double(NAN)}) EXPECT_THROW(PoissonSampler(key, rate, 5), Error) << rate;
  EXPECT_THROW(PoissonSampler(key, 0.5, -1), Error);
}

}  // namespace
}  // namespace sotto
