#include <gtest/gtest.h>

#include <cmath>

#include "accountants/pld/pld_accountant.h"
#include "accountants/pld/sampled_gaussian_law.h"

namespace sotto::accountants {
namespace {

long double tail(long double x) { return 0.5L * std::erfc(x / std::sqrt(2.0L)); }

// δ(ε) of one use by its definition: the outputs on one side of where the ratio is e^±ε.
long double truth(long double sigma, long double q, bool remove, long double epsilon) {
  const long double ratio = (std::exp(remove ? epsilon : -epsilon) - (1 - q)) / q;
  if (!(ratio > 0)) return remove ? 1 - std::exp(epsilon) : 0;
  const long double u = sigma * std::log(ratio) + 0.5L / sigma;
  const long double p_above = (1 - q) * tail(u) + q * tail(u - 1 / sigma), q_above = tail(u);
  const long double p_below = (1 - q) * tail(-u) + q * tail(1 / sigma - u), q_below = tail(-u);
  return remove ? p_above - std::exp(epsilon) * q_above : q_below - std::exp(epsilon) * p_below;
}

double divergence(const LossAtoms& atoms, double epsilon) {
  double sum = atoms.at_infinity;
  for (size_t i = 0; i < atoms.mass.size(); ++i)
    sum += atoms.mass[i] * std::max(0.0, -std::expm1(epsilon - atoms.loss(i)));
  return sum;
}

// A step as wide as a law's losses and wider: what a grid for other, larger losses does to it.
TEST(SampledGaussianLaw, OnAGridCoarserThanItsLossesItStillHasBothBounds) {
  constexpr double kTail = 1e-12;
  int asked = 0;
  for (const double sigma : {0.5, 1.0, 5.0, 1000.0})
    for (const double q : {1e-6, 0.003, 0.4, 1.0}) {
      const SampledGaussianLaw law(sigma, q);
      for (const double steps : {0.3, 0.7, 1.0, 1.3, 3.0, 50.0, 1e4})
        for (const Direction direction : {Direction::remove, Direction::add}) {
          const double step = steps * law.span(kTail);
          if (step > 200) continue;
          const BracketedLaw found = law.on_grid(direction, step, kTail, size_t{1} << 18);
          EXPECT_FALSE(found.below.mass.empty()) << sigma << " " << q << " " << steps;
          double whole = found.above.at_infinity;
          for (const double mass : found.above.mass) whole += mass;
          EXPECT_NEAR(whole, 1, 1e-9) << sigma << " " << q << " " << steps;
          for (const double level : {-1.5, -0.5, -0.01, 0.0, 0.01, 0.2, 0.5, 1.5, 3.0}) {
            const double epsilon = level * std::min(step, law.span(kTail));
            const double exact = static_cast<double>(truth(sigma, q, direction == Direction::remove, epsilon));
            // 1e-15: the long double truth is a difference of numbers up to 1.
            EXPECT_GE(divergence(found.above, epsilon) * (1 + found.mass_error), exact - 1e-15)
                << sigma << " " << q << " " << steps << " " << epsilon << " " << static_cast<int>(direction);
            EXPECT_LE(divergence(found.below, epsilon) * (1 - found.mass_error), exact + 1e-15)
                << sigma << " " << q << " " << steps << " " << epsilon << " " << static_cast<int>(direction);
            ++asked;
          }
        }
    }
  EXPECT_GT(asked, 1000);
}

PldAccountant mixture(const std::vector<std::pair<Event, int64_t>>& parts) {
  PldAccountant accountant(NeighbouringRelation::add_remove);
  for (const auto& [event, count] : parts) accountant.compose(event, count);
  return accountant;
}

TEST(PldAccountant, BesideMechanismsThatLeakMuchMoreSmallOnesKeepBothBounds) {
  for (const auto& [gaussian, times, laplace, count] :
       {std::tuple{PoissonSampledGaussian{5, 0.003}, 19, Laplace{5}, 50},
        {PoissonSampledGaussian{5, 0.003}, 19, Laplace{5}, 400},
        {PoissonSampledGaussian{1, 0.003}, 1900, Laplace{1}, 200},
        {PoissonSampledGaussian{200, 1e-4}, 3199, Laplace{30}, 16}}) {
    const Bracket got = mixture({{{gaussian}, times}, {{laplace}, count}}).epsilon_bracket(3e-6);
    const Bracket alone = mixture({{{laplace}, count}}).epsilon_bracket(3e-6);
    EXPECT_LE(got.upper - got.lower, 1e-3 * got.upper) << count;
    EXPECT_GE(got.upper, alone.lower) << count;  // more releases never cost less
  }
}

TEST(PldAccountant, PlainGaussiansBesideOthersAreABoundFromBelow) {
  // μ = 31.6: far beyond the losses that grids hold. By itself ε is above μ²/2 + μ Φ⁻¹(1 − δ) − 1 = 634.
  const auto both = mixture({{{Gaussian{1}}, 1000}, {{Laplace{5}}, 10}});
  EXPECT_GT(both.epsilon_bracket(1e-5).lower, 630);
  EXPECT_GT(both.delta_bracket(100).lower, 0.999);
}

// They took minutes once.
TEST(PldAccountant, HundredTrillionsOfTinyStepsAndHugePlainOnesHaveAnAnswer) {
  EXPECT_LT(mixture({{{PoissonSampledGaussian{1000, 1e-6}}, 100'000'000'000'000}}).epsilon_bracket(1e-5).upper, 0.05);
  EXPECT_EQ(mixture({{{Gaussian{0.25}}, 368'691}, {{Laplace{3}}, 1}}).delta_bracket(1e-6).upper, 1);
}

}  // namespace
}  // namespace sotto::accountants
