#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

#include "accountants/pld/pld_accountant.h"

// A second way to a certified bracket, of another kind (Gopi, Lee, Wutschitz 2021, the argument of their Theorem 5):
// the losses are rounded to a grid and moved so that their mean stays, whence the errors of k uses, each within a step
// of width h around 0, add up to at most h √(k/2 · log(2/η)) but for a probability of η (Hoeffding). No code is shared.
namespace sotto::accountants {
namespace {

using Complex = std::complex<double>;

constexpr double kEta = 1e-10;
constexpr int kSize = 1 << 15;

void transform(std::vector<Complex>& x, double sign) {
  const size_t size = x.size();
  if (size == 1) return;
  std::vector<Complex> even(size / 2), odd(size / 2);
  for (size_t i = 0; i < size / 2; ++i) even[i] = x[2 * i], odd[i] = x[2 * i + 1];
  transform(even, sign);
  transform(odd, sign);
  for (size_t i = 0; i < size / 2; ++i) {
    const Complex turned =
        std::polar(1.0, sign * 2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(size)) * odd[i];
    x[i] = even[i] + turned;
    x[i + size / 2] = even[i] - turned;
  }
}

double normal_below(double x) {
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

// P(loss ≤ t) of the Poisson-sampled Gaussian, for removing and for adding a unit.
double loss_below(double sigma, double q, bool remove, double t) {
  const double lifted = std::expm1(remove ? t : -t) + q;
  if (lifted <= 0) return remove ? 0 : 1;
  const double x = sigma * sigma * std::log(lifted / q) + 0.5;
  return remove ? (1 - q) * normal_below(x / sigma) + q * normal_below((x - 1) / sigma) : normal_below(-x / sigma);
}

struct Rounded {
  std::vector<double> mass;  // of the sum of k losses at i · h + shift, i from −size/2 on
  double h, shift, error, lost;

  Rounded(double sigma, double q, bool remove, int uses, double reach) : h(2 * reach / kSize) {
    const auto below = [&](double t) { return loss_below(sigma, q, remove, t); };
    std::vector<Complex> x(kSize);
    double total = 0, mean = 0, rounded_mean = 0;
    for (int i = -kSize / 2; i < kSize / 2; ++i) {
      const double t = i * h, low = t - h / 2, high = t + h / 2, p = below(high) - below(low);
      x[static_cast<size_t>((i + kSize) % kSize)] = p;
      total += p;
      rounded_mean += p * t;
      // ∫ t dF by parts, the rest by Simpson's rule.
      mean += high * below(high) - low * below(low) - h / 6 * (below(low) + 4 * below(t) + below(high));
    }
    shift = uses * (mean - rounded_mean) / total;
    error = h * std::sqrt(uses / 2.0 * std::log(2 / kEta)) + uses * 1e-9;  // the mean's own error is far below 1e-9
    lost = kEta + uses * std::max(0.0, 1 - total) + 1e-11;                 // 1e-11: rounding
    for (Complex& each : x) each /= total;
    transform(x, -1);
    for (Complex& each : x) each = std::pow(each, uses);
    transform(x, 1);
    for (int i = -kSize / 2; i < kSize / 2; ++i)
      mass.push_back(x[static_cast<size_t>((i + kSize) % kSize)].real() / kSize);
  }

  double delta(double epsilon) const {
    double sum = 0;
    for (int i = 0; i < kSize; ++i) {
      const double loss = (i - kSize / 2) * h + shift;
      if (loss > epsilon) sum += mass[static_cast<size_t>(i)] * -std::expm1(epsilon - loss);
    }
    return sum;
  }
  Bracket bracket(double epsilon) const { return {delta(epsilon + error) - lost, delta(epsilon - error) + lost}; }
};

TEST(PrvCrossCheck, ASecondKindOfBracketOverlaps) {
  // Reaches of at least 12 deviations of the sum, so that nothing comes round the circle.
  const struct {
    double sigma, q;
    int uses;
    double reach;
  } kSchedules[] = {{1, 0.01, 1000, 8}, {2, 0.1, 100, 10}, {0.8, 0.005, 500, 10}, {4, 0.5, 50, 12}, {1.5, 1, 4, 24}};
  for (const auto& [sigma, q, uses, reach] : kSchedules) {
    const Rounded remove(sigma, q, true, uses, reach), add(sigma, q, false, uses, reach);
    PldAccountant accountant(NeighbouringRelation::add_remove);
    accountant.compose({PoissonSampledGaussian{sigma, q}}, uses);
    for (const double delta : {1e-2, 1e-4, 1e-6}) {
      const double epsilon = accountant.epsilon(delta);
      const Bracket one = remove.bracket(epsilon), other = add.bracket(epsilon),
                    got = accountant.delta_bracket(epsilon);
      const Bracket second{std::max(one.lower, other.lower), std::max(one.upper, other.upper)};
      EXPECT_LE(got.lower, second.upper) << sigma << " " << q << " " << uses << " " << epsilon;
      EXPECT_GE(got.upper, second.lower) << sigma << " " << q << " " << uses << " " << epsilon;
      EXPECT_GT(second.lower, delta / 4) << "a check that could not fail: " << sigma << " " << q << " " << uses;
      EXPECT_LT(second.upper, delta * 4) << "a check that could not fail: " << sigma << " " << q << " " << uses;
    }
  }
}

}  // namespace
}  // namespace sotto::accountants
