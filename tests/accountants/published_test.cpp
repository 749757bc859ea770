#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "accountants/fixed_schedule.h"
#include "accountants/gdp/clt.h"
#include "accountants/rdp/closed_forms.h"
#include "accountants/rdp/sampled_gaussian.h"

// Numbers as printed in papers, to the digits printed there.
namespace sotto::accountants {
namespace {

constexpr auto kAddRemove = NeighbouringRelation::add_remove;

FixedSchedule training(double noise_multiplier, double sample_rate, int64_t steps) {
  return FixedSchedule(kAddRemove, {{{PoissonSampledGaussian{noise_multiplier, sample_rate}}, steps}});
}

// The moments accountant: the tail bound ε = steps · R(α) + log(1/δ) / (α − 1), at the best of the orders 1.25, 1.5, …
// 12, 13, … 64.
double moments_accountant(double noise_multiplier, double sample_rate, int64_t steps, double delta) {
  double best = INFINITY;
  for (double order = 1.25; order <= 64; order += order < 12 ? 0.25 : 1)
    best = std::min(best, static_cast<double>(steps) * rdp_sampled_gaussian(noise_multiplier, sample_rate, order) -
                              std::log(delta) / (order - 1));
  return best;
}

TEST(Published, Abadi2016MomentsAccountant) {
  // Abadi et al. 2016, Section 5.1 and Figure 2: q = 0.01, σ = 4, δ = 1e-5, 100 epochs of 100 steps: ε = 1.26.
  EXPECT_NEAR(moments_accountant(4, 0.01, 10'000, 1e-5), 1.26, 0.005);
  const double rdp = training(4, 0.01, 10'000).epsilon(1e-5, {.accountant = "rdp"}).upper;
  const Bracket pld = training(4, 0.01, 10'000).epsilon(1e-5);
  EXPECT_LT(rdp, 1.26);
  EXPECT_LT(pld.upper, rdp);
  EXPECT_GT(pld.lower, 0.8) << "and not by giving the guarantee away";
}

TEST(Published, Bu2020MnistTable) {
  // Bu, Dong, Long, Su 2020, Table 1: NoisySGD on MNIST, batches of 256 of 60,000, δ = 1e-5. The central limit
  // theorem's ε and μ, and the moments accountant's ε.
  const struct {
    double noise_multiplier;
    int epochs;
    double clt_epsilon, clt_mu, moments_epsilon;
  } rows[] = {{1.3, 15, 0.83, 0.23, 1.19}, {1.1, 60, 2.32, 0.57, 3.01}, {0.7, 45, 5.07, 1.13, 7.10}};
  for (const auto& row : rows) {
    const double rate = 256.0 / 60'000;
    const auto steps = static_cast<int64_t>(row.epochs / rate);
    const FixedSchedule schedule = training(row.noise_multiplier, rate, steps);
    EXPECT_NEAR(clt_epsilon(schedule, 1e-5).value, row.clt_epsilon, 0.006) << row.noise_multiplier;
    EXPECT_NEAR(clt_mu(schedule).value, row.clt_mu, 0.006) << row.noise_multiplier;
    EXPECT_NEAR(moments_accountant(row.noise_multiplier, rate, steps, 1e-5), row.moments_epsilon, 0.011)
        << row.noise_multiplier;
    const Bracket pld = schedule.epsilon(1e-5);
    EXPECT_LT(pld.upper, row.moments_epsilon) << row.noise_multiplier;
    EXPECT_GT(pld.lower, row.clt_epsilon) << "the limit theorem's value is below the truth: " << row.noise_multiplier;
  }
}

TEST(Published, Mironov2017TableOfClosedForms) {
  // Mironov 2017, Table II, at α → 1: Laplace 1/λ + e^(−1/λ) − 1; randomised response (2p − 1) log(p / (1 − p)).
  for (const double epsilon : {0.3, 1.0, 3.0}) {
    EXPECT_NEAR(rdp_laplace(epsilon, 1 + 1e-7), epsilon + std::exp(-epsilon) - 1, 1e-6) << epsilon;
    EXPECT_NEAR(rdp_randomized_response(epsilon, 2, 1 + 1e-7), std::tanh(epsilon / 2) * epsilon, 1e-6) << epsilon;
  }
  EXPECT_NEAR(rdp_gaussian(0.5, 6), 6 / 8.0, 1e-14);
}

TEST(Published, Gopi2021IntervalsOverlap) {
  // The intervals of ±0.01 that the authors' implementation of Gopi, Lee, Wutschitz 2021 (prv-accountant 0.2.0) prints.
  const struct {
    double rate;
    int64_t steps;
    double lower, upper;
  } rows[] = {{0.01, 10'000, 6.1774, 6.1980}, {1e-4, 1'000'000, 0.4492, 0.4693}};
  for (const auto& row : rows) {
    const Bracket pld = training(1, row.rate, row.steps).epsilon(1e-5);
    EXPECT_GT(pld.upper, row.lower) << row.rate;
    EXPECT_LT(pld.lower, row.upper) << row.rate;
    EXPECT_LT(pld.upper - pld.lower, row.upper - row.lower) << row.rate;
  }
}

TEST(Published, BalleWang2018AnalyticGaussianNeedsLessNoiseThanTheClassicalOne) {
  // Balle, Wang 2018, Theorem 8 against σ = √(2 log(1.25 / δ)) / ε, which is proved for ε ≤ 1 only. The exact noise at
  // ε = 1, δ = 1e-5 is 3.730631634815942 (mpmath).
  const auto delta = [](double sigma) {
    return FixedSchedule(kAddRemove, {{{Gaussian{sigma}}, 1}}).delta(1, {.accountant = "gdp"});
  };
  EXPECT_LE(delta(3.730631634815942).lower, 1e-5);
  EXPECT_GE(delta(3.730631634815942).upper, 1e-5);
  EXPECT_LT(delta(std::sqrt(2 * std::log(1.25e5))).upper, 1e-5);
}

}  // namespace
}  // namespace sotto::accountants
