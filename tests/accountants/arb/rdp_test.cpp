#include <acb_calc.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "accountants/rdp/closed_forms.h"
#include "accountants/rdp/conversion.h"
#include "accountants/rdp/rdp_accountant.h"
#include "accountants/rdp/sampled_gaussian.h"
#include "base/error.h"
#include "tests/accountants/arb/margins.h"

namespace sotto::accountants {
namespace {

// Σ_k C(α,k) (1−q)^{α−k} q^k e^{k(k−1)/2σ²}
Ball integer_moment(double sigma, double q, int order) {
  Ball sum, binomial, rest, power;
  for (int k = 0; k <= order; ++k) {
    arb_bin_uiui(binomial.get(), static_cast<ulong>(order), static_cast<ulong>(k), Ball::kBits);
    arb_pow_ui(rest.get(), (1 - Ball(q)).get(), static_cast<ulong>(order - k), Ball::kBits);
    arb_pow_ui(power.get(), Ball(q).get(), static_cast<ulong>(k), Ball::kBits);
    sum += binomial * rest * power * exp(Ball(k) * (k - 1.0) / (Ball(sigma) * sigma * 2));
  }
  return sum;
}

struct Integrand {
  Ball sigma, q, order;
};

// (1 − q + q e^{x/σ − 1/2σ²})^α e^{−x²/2}, analytic where the power's base is off the negative axis.
int moment_integrand(acb_ptr out, const acb_t x, void* parameters, slong analytic, slong bits) {
  const auto& [sigma, q, order] = *static_cast<const Integrand*>(parameters);
  const Ball inverse = 1 / sigma, half = inverse * inverse / 2, rest = 1 - q;
  acb_t ratio, gauss;
  acb_init(ratio);
  acb_init(gauss);
  acb_mul_arb(ratio, x, inverse.get(), bits);
  acb_sub_arb(ratio, ratio, half.get(), bits);
  acb_exp(ratio, ratio, bits);
  acb_mul_arb(ratio, ratio, q.get(), bits);
  acb_add_arb(ratio, ratio, rest.get(), bits);
  acb_log_analytic(ratio, ratio, analytic != 0, bits);
  acb_mul_arb(ratio, ratio, order.get(), bits);
  acb_mul(gauss, x, x, bits);
  acb_mul_2exp_si(gauss, gauss, -1);
  acb_sub(ratio, ratio, gauss, bits);
  acb_exp(out, ratio, bits);
  acb_clear(ratio);
  acb_clear(gauss);
  return 0;
}

// The integral over −30 ≤ x ≤ α/σ + 30. Left of it r ≤ 1, right of it r ≤ e^{x/σ − 1/2σ²}: what is left out is at most
// Φ(−30), and Φ(−30) e^{α(α−1)/2σ²}.
Ball fractional_moment(double sigma, double q, double order) {
  constexpr double kReach = 30;
  Integrand integrand{sigma, q, order};
  acb_t from, to, integral;
  acb_init(from);
  acb_init(to);
  acb_init(integral);
  acb_set_d(from, -kReach);
  arb_set(acb_realref(to), (integrand.order / integrand.sigma + kReach).get());
  mag_t tolerance;
  mag_init(tolerance);
  mag_set_ui_2exp_si(tolerance, 1, -220);
  acb_calc_integrate(integral, moment_integrand, &integrand, from, to, 220, tolerance, nullptr, Ball::kBits);
  Ball found, pi;
  acb_get_real(found.get(), integral);
  mag_clear(tolerance);
  acb_clear(from);
  acb_clear(to);
  acb_clear(integral);
  arb_const_pi(pi.get(), Ball::kBits);
  const Ball beyond = erfc(kReach / sqrt(Ball(2))) / 2;
  const Ball lifted = exp(integrand.order * (integrand.order - 1) / (integrand.sigma * integrand.sigma * 2));
  return found / sqrt(pi * 2) + Ball::up_to(beyond) + Ball::up_to(beyond * lifted);
}

constexpr double kPromised = 1e-10;  // sampled_gaussian.h

struct Row {
  double sigma, q, order;
};

TEST(ArbRdp, SampledGaussianAtIntegersIsTheFiniteSumRoundedUp) {
  Margins margins("RDP of sampled Gaussians at integers");
  std::vector<Row> rows{Row{1, 0.01, 2},    Row{1, 0.01, 8},    Row{1, 0.01, 300},     Row{0.2, 0.5, 3},
                        Row{0.2, 1e-6, 64}, Row{1000, 0.3, 2},  Row{1000, 1e-6, 1000}, Row{30, 0.05, 4096},
                        Row{2, 1e-9, 5},    Row{0.05, 0.1, 40}, Row{4, 0.999, 17}};
  for (const double sigma : {0.3, 1.0, 7.0})
    for (const double q : {1e-4, 0.03, 0.7})
      for (const double order : {3.0, 6.0, 12.0, 25.0, 70.0}) rows.push_back({sigma, q, order});
  for (const auto& [sigma, q, order] : rows) {
    const Ball truth = log(integer_moment(sigma, q, static_cast<int>(order))) / (order - 1);
    margins.add_case();
    margins.is_above(cat("sigma ", sigma, " q ", q, " order ", order), rdp_sampled_gaussian(sigma, q, order), truth,
                     kPromised);
  }
}

TEST(ArbRdp, SampledGaussianBetweenIntegersIsTheIntegralRoundedUp) {
  Margins margins("RDP of sampled Gaussians between integers");
  for (const auto& [sigma, q, order] : {Row{1, 0.01, 1.01}, Row{1, 0.01, 2.5}, Row{1, 0.01, 31.3}, Row{0.2, 0.5, 3.7},
                                        Row{0.3, 1e-4, 1.5}, Row{2, 0.5, 1.5}, Row{4, 0.1, 1.5}, Row{20, 1e-3, 100.25},
                                        Row{1000, 0.3, 7.5}, Row{0.1, 0.2, 2.2}, Row{1, 1e-6, 12.9}}) {
    const Ball truth = log(fractional_moment(sigma, q, order)) / (Ball(order) - 1);
    margins.add_case();
    margins.is_above(cat("sigma ", sigma, " q ", q, " order ", order), rdp_sampled_gaussian(sigma, q, order), truth,
                     kPromised);
  }
}

// log E_P[e^{(α−1) loss}] / (α−1)
Ball true_rdp(const std::vector<std::pair<Ball, Ball>>& masses_and_losses, double order) {
  Ball sum;
  for (const auto& [mass, loss] : masses_and_losses) sum += mass * exp((Ball(order) - 1) * loss);
  return log(sum) / (Ball(order) - 1);
}

TEST(ArbRdp, ClosedFormsAreRoundedUp) {
  Margins margins("RDP in closed form");
  for (const auto& [epsilon, order] :
       {std::pair{1.0, 2.0}, {1.0, 1.01}, {0.01, 1.5}, {1e-4, 40.0}, {7.0, 60.0}, {30.0, 8.5}}) {
    const std::string row = cat("epsilon ", epsilon, " order ", order);
    const Ball up = exp(Ball(epsilon)), a = order, low = 1 / (1 + up);
    // A loss of size ε shows to second order: what rounding takes of it is a share of 1e-16 / ε² of the result.
    const double furthest = 1e-13 + 1e-14 / epsilon / epsilon;
    margins.add_case();
    margins.is_above("randomised response " + row, rdp_randomized_response(epsilon, 2, order),
                     true_rdp({{up * low, epsilon}, {low, -epsilon}}, order), furthest);
    margins.add_case();
    margins.is_above(
        "Laplace " + row, rdp_laplace(epsilon, order),
        log(a / (a * 2 - 1) * exp((a - 1) * epsilon) + (a - 1) / (a * 2 - 1) * exp(-a * epsilon)) / (a - 1), furthest);
    margins.add_case();
    margins.is_above("Gaussian " + row, rdp_gaussian(epsilon, order), a * epsilon * epsilon / 2, 1e-14);
  }
}

TEST(ArbRdp, ConversionIsRoundedUp) {
  Margins margins("RDP to epsilon and delta");
  struct Case {
    double order, rdp, delta;
  };
  for (const auto& [order, rdp, delta] : {Case{1.01, 0.3, 1e-5}, Case{2, 4, 1e-30}, Case{17.5, 0.02, 1e-10},
                                          Case{300, 1.7, 1e-6}, Case{65536, 490, 1e-12}, Case{8, 1e-9, 0.01}}) {
    const std::string row = cat("order ", order, " rdp ", rdp, " delta ", delta);
    const Ball a = order, spared = log(1 - 1 / a);
    const Ball epsilon = rdp + spared - (log(Ball(delta)) + log(a)) / (a - 1);
    const double got = epsilon_at_order(order, rdp, delta);
    margins.add_case();
    margins.is_above("epsilon at " + row, got, epsilon, 1e-12);
    margins.add_case();
    // Of a logarithm, which may be below 0: held as the δ that it is the logarithm of; the exponent's parts cancel.
    margins.is_above("delta at " + row, delta_of_log(log_delta_at_order(order, rdp, got)),
                     exp((a - 1) * (rdp - Ball(got) + spared) - log(a)), 1e-12 + 8e-15 * order * (rdp + got));
  }
}

// All of it: a table of orders, sums of uses, the best order.
TEST(ArbRdp, AccountantIsAboveItsBestOrder) {
  Margins margins("RDP accountant");
  struct Case {
    double sigma, q;
    int64_t count;
    double delta;
  };
  for (const auto& [sigma, q, count, delta] :
       {Case{1, 0.01, 10000, 1e-5}, Case{0.8, 1e-3, 100000, 1e-10}, Case{4, 0.2, 500, 1e-30}}) {
    RdpAccountant accountant(NeighbouringRelation::add_remove);
    accountant.compose({PoissonSampledGaussian{sigma, q}}, count);
    Ball best = 1e9;
    for (int order = 2; order <= 64; ++order) {
      const Ball rdp = log(integer_moment(sigma, q, order)) / (order - 1.0) * static_cast<double>(count), a = order;
      best = smaller(best, rdp + log(1 - 1 / a) - (log(Ball(delta)) + log(a)) / (a - 1));
    }
    margins.add_case();
    // Orders between integers may be better, by a few per cent.
    const double got = accountant.epsilon(delta);
    EXPECT_TRUE((best * (1 + 1e-9)).at_least(got)) << got << " " << best.middle();
    EXPECT_TRUE((best * 0.97).at_most(got)) << got << " " << best.middle();
  }
}

}  // namespace
}  // namespace sotto::accountants
