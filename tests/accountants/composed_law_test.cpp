#include "accountants/pld/composed_law.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <random>

#include "base/error.h"

namespace sotto::accountants {
namespace {

// Two atoms, losses ±step with P masses p and 1 − p − at_infinity: δ after n uses is a binomial sum, here in long
// double.
BracketedLaw two_atoms(double p, double step, double at_infinity = 0) {
  BracketedLaw law;
  law.above = {-step, step, 0, {1 - p - at_infinity, 0, p}, at_infinity};
  law.below = {-step, step, 0, {1 - p - at_infinity, 0, p}, 0};
  law.mass_error = 1e-15;
  return law;
}

long double binomial_delta(double p, double step, double at_infinity, int n, double epsilon) {
  long double sum = 0;
  for (int k = 0; k <= n; ++k) {
    const long double loss = static_cast<long double>(step) * (2 * k - n);
    if (loss <= epsilon) continue;
    const long double log_mass = std::lgamma(n + 1.0L) - std::lgamma(k + 1.0L) - std::lgamma(n - k + 1.0L) +
                                 k * std::log(static_cast<long double>(p)) + (n - k) * std::log(1.0L - p - at_infinity);
    sum += std::exp(log_mass) * -std::expm1(epsilon - loss);
  }
  return sum - std::expm1(n * std::log1p(-static_cast<long double>(at_infinity)));
}

TEST(ComposedLaw, RandomisedResponseCountsEveryUse) {
  // e^ε0-randomised response; a peer ignores the count and reports 1.0 for 50 uses.
  const double step = 1, p = std::exp(step) / (1 + std::exp(step));
  for (const int n : {1, 2, 50, 400}) {
    const ComposedLaw composed({{two_atoms(p, step), n}}, {1.5, -3, 4, 25}, 1 << 16);
    for (const double epsilon : {0.0, 0.3 * n, 0.7 * n, 0.95 * n}) {
      const long double truth = binomial_delta(p, step, 0, n, epsilon);
      EXPECT_GE(composed.delta_above(epsilon), std::min(truth, 1.0L) * (1 - 1e-15L)) << n << " " << epsilon;
      EXPECT_LE(composed.delta_below(epsilon), truth * (1 + 1e-15L)) << n << " " << epsilon;
    }
  }
  const ComposedLaw fifty({{two_atoms(p, step), 50}}, {0.9, 0.5, 1.5, 25}, 1 << 16);
  EXPECT_GT(fifty.epsilon_below(1e-5), 40);
}

TEST(ComposedLaw, BracketsTheBinomialSumForEveryTiltWindowAndSize) {
  const double step = 0.01, p = std::exp(step) / (1 + std::exp(step));
  const int n = 1000;
  for (const double theta : {0.0, 1.0, 10.0, 40.0})
    for (const double apart : {3.0, 30.0})
      for (const double tail : {2.0, 25.0})
        for (const size_t size : {size_t{16}, size_t{256}, size_t{8192}}) {
          const ComposedLaw composed({{two_atoms(p, step), n}}, {theta, theta - apart, theta + apart, tail}, size);
          for (const double epsilon : {0.01, 0.4, 0.9, 1.6, 3.0}) {
            const long double truth = binomial_delta(p, step, 0, n, epsilon);
            EXPECT_GE(composed.delta_above(epsilon), truth) << theta << " " << apart << " " << tail << " " << size;
            EXPECT_LE(composed.delta_below(epsilon), truth) << theta << " " << apart << " " << tail << " " << size;
          }
          for (const double delta : {1e-12, 1e-5, 0.01}) {
            const double upper = composed.epsilon_above(delta), lower = composed.epsilon_below(delta);
            EXPECT_LE(lower, upper);
            if (std::isfinite(upper)) {
              EXPECT_LE(binomial_delta(p, step, 0, n, upper), delta);
            }
            if (lower > 0) {
              EXPECT_GE(binomial_delta(p, step, 0, n, lower), delta * (1 - 1e-9L));
            }
          }
        }
}

TEST(ComposedLaw, IsExactToARelative1e9FarInTheTail) {
  const double step = 0.01, p = std::exp(step) / (1 + std::exp(step));
  const ComposedLaw composed({{two_atoms(p, step), 1000}}, {30, 0, 60, 30}, 1 << 14);
  const long double truth = binomial_delta(p, step, 0, 1000, 3.2);
  EXPECT_LT(truth, 1e-20L);
  EXPECT_NEAR(composed.delta_above(3.2) / static_cast<double>(truth), 1, 1e-9);
  EXPECT_NEAR(composed.delta_below(3.2) / static_cast<double>(truth), 1, 1e-9);
}

TEST(ComposedLaw, MassAtInfinityCountsForEveryUse) {
  const double step = 0.01, p = 0.502;
  const ComposedLaw composed({{two_atoms(p, step, 1e-7), 1000}}, {20, 0, 40, 30}, 1 << 14);
  const long double truth = binomial_delta(p, step, 1e-7, 1000, 2.0);
  EXPECT_GT(truth, 9e-5L);
  EXPECT_GE(composed.delta_above(2.0), truth);
  EXPECT_EQ(composed.epsilon_above(5e-5), INFINITY) << "more than that is at infinity";
}

TEST(ComposedLaw, PartsMultiply) {
  const double step = 0.01, p = std::exp(step) / (1 + std::exp(step));
  const Tilt tilt{20, 0, 40, 25};
  const ComposedLaw whole({{two_atoms(p, step), 1000}}, tilt, 1 << 14);
  const ComposedLaw parts({{two_atoms(p, step), 300}, {two_atoms(p, step), 700}}, tilt, 1 << 14);
  EXPECT_NEAR(whole.delta_above(1.5) / parts.delta_above(1.5), 1, 1e-9);
  EXPECT_NEAR(whole.delta_below(1.5) / parts.delta_below(1.5), 1, 1e-9);
}

TEST(ComposedLaw, RefusesWhatDoesNotFitTogether) {
  EXPECT_THROW(ComposedLaw({}, {1, 0, 2, 20}, 64), Error);
  EXPECT_THROW(ComposedLaw({{two_atoms(0.5, 1), 1}}, {1, 2, 3, 20}, 64), Error);
  EXPECT_THROW(ComposedLaw({{two_atoms(0.5, 1), 1}, {two_atoms(0.5, 2), 1}}, {1, 0, 2, 20}, 64), Error);
}

TEST(Fft, APlanTransformsAsOftenAsAskedAndTheInverseIsTheExchange) {
  Fft fft(64);
  ComplexArray x(64);
  for (size_t j = 0; j < 64; ++j) x.real[j] = static_cast<double>(j % 7), x.imag[j] = static_cast<double>(j % 5);
  const ComplexArray input = x;
  fft.transform(x);
  std::swap(x.real, x.imag);
  fft.transform(x);
  for (size_t j = 0; j < 64; ++j) {
    EXPECT_NEAR(x.imag[j] / 64, input.real[j], 1e-14);
    EXPECT_NEAR(x.real[j] / 64, input.imag[j], 1e-14);
  }
}

TEST(Fft, IsWithinItsBoundOfLongDouble) {
  for (const size_t size : {2, 4, 8, 16, 32, 64, 128, 512, 2048}) {
    ComplexArray x(size);
    std::mt19937_64 generator(size);
    std::uniform_real_distribution<double> uniform(-1, 1);
    double sum = 0;
    for (size_t j = 0; j < size; ++j) {
      x.real[j] = uniform(generator);
      x.imag[j] = uniform(generator);
      sum += std::hypot(x.real[j], x.imag[j]);
    }
    const ComplexArray input = x;
    Fft(size).transform(x);
    for (size_t k = 0; k < size; ++k) {
      long double real = 0, imag = 0;
      for (size_t j = 0; j < size; ++j) {
        const long double angle = -2 * std::numbers::pi_v<long double> * static_cast<long double>(j * k % size) /
                                  static_cast<long double>(size);
        real += input.real[j] * std::cos(angle) - input.imag[j] * std::sin(angle);
        imag += input.real[j] * std::sin(angle) + input.imag[j] * std::cos(angle);
      }
      ASSERT_LE(std::hypot(real - x.real[k], imag - x.imag[k]), fft_error(size) * sum) << size << " " << k;
    }
  }
  ComplexArray three(3);
  EXPECT_THROW(Fft(3), Error);
  EXPECT_THROW(Fft(4).transform(three), Error);
}

}  // namespace
}  // namespace sotto::accountants
