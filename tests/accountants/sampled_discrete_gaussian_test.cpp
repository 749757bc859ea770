#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "accountants/accountant.h"
#include "accountants/calibrate.h"
#include "accountants/rdp/curve.h"
#include "accountants/rdp/orders.h"
#include "accountants/rdp/sampled_gaussian.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

struct Divergences {
  long double forward, backward;  // D_α(P ‖ Q) and D_α(Q ‖ P)
};

// The definition, summed over the integers: P = (1−q) N_Z(0, σ²) + q N_Z(shift, σ²), Q = N_Z(0, σ²).
Divergences divergences(long double sigma, int shift, long double q, long double order) {
  const int reach = static_cast<int>(std::ceil(40 * sigma + (order + 2) * shift));
  const auto weight = [&](int y) { return std::exp(-y * static_cast<long double>(y) / (2 * sigma * sigma)); };
  long double norm = 0, forward = 0, backward = 0;
  for (int y = -reach; y <= reach; ++y) norm += weight(y);
  for (int y = -reach; y <= reach; ++y) {
    const long double base = weight(y) / norm;
    if (base == 0) continue;
    const long double ratio = 1 - q + q * std::exp(shift * (2 * y - shift) / (2 * sigma * sigma));  // P / Q
    forward += base * std::pow(ratio, order);
    backward += base * std::pow(ratio, 1 - order);
  }
  return {std::log(forward) / (order - 1), std::log(backward) / (order - 1)};
}

TEST(RdpSampledDiscreteGaussian, IsNeverBelowTheDivergenceInEitherDirection) {
  for (const double sigma : {0.4, 0.7, 1.0, 2.5, 9.0})
    for (const int shift : {1, 2, 5})
      for (const double q : {0.001, 0.1, 0.5, 1.0})
        for (const double order : {1.01, 1.3, 1.9, 2.0, 2.5, 3.0, 4.7, 5.0, 8.0, 11.5, 24.0}) {
          const Divergences truth = divergences(sigma, shift, q, order);
          if (!std::isfinite(truth.forward) || truth.forward > 300) continue;
          const double bound = rdp_sampled_discrete_gaussian(sigma / shift, q, order);
          // A sum that is 1 but for 1e-17 is known to 1e-19.
          const double tolerance = static_cast<double>(truth.forward) * 1e-12 + 1e-17;
          EXPECT_GE(bound, truth.forward - tolerance) << sigma << " " << shift << " " << q << " " << order;
          EXPECT_GE(bound, truth.backward - tolerance) << sigma << " " << shift << " " << q << " " << order;
          if (order != std::floor(order) || truth.forward < 1e-8) continue;
          EXPECT_LE(bound, truth.forward * (1 + 1e-8)) << sigma << " " << shift << " " << q << " " << order << ": at integer orders it is exact";
        }
}

TEST(RdpSampledDiscreteGaussian, WhatTheContinuousGaussianDoesNotBoundAtFractionalOrdersIsBounded) {
  const long double truth = divergences(0.5, 1, 0.001, 1.1).forward;
  EXPECT_GT(truth, rdp_sampled_gaussian(0.5, 0.001, 1.1) * 1.03);
  EXPECT_GE(rdp_sampled_discrete_gaussian(0.5, 0.001, 1.1), truth);
  const std::vector<double> orders = {1.1, 2, 2.5};
  const RdpCurve curve = rdp_curve(Event{PoissonSampledDiscreteGaussian{0.5, 0.001}}, NeighbouringRelation::add_remove, orders);
  for (size_t i = 0; i < orders.size(); ++i) EXPECT_EQ(curve[i], rdp_sampled_discrete_gaussian(0.5, 0.001, orders[i]));
}

TEST(RdpSampledDiscreteGaussian, AtFractionalOrdersIsTheChordBetweenIntegers) {
  const double two = rdp_sampled_gaussian(1, 0.2, 2), three = rdp_sampled_gaussian(1, 0.2, 3);
  EXPECT_NEAR(rdp_sampled_discrete_gaussian(1, 0.2, 2.25), (0.75 * two + 0.25 * 2 * three) / 1.25, 1e-14);
  EXPECT_NEAR(rdp_sampled_discrete_gaussian(1, 0.2, 1.3), two, 1e-14);
  for (const double order : {1.01, 1.5, 2.5, 7.3, 100.5})
    EXPECT_GT(rdp_sampled_discrete_gaussian(1, 0.2, order), rdp_sampled_gaussian(1, 0.2, order)) << order;
  for (const double order : default_orders())
    if (order == std::floor(order)) {
      EXPECT_EQ(rdp_sampled_discrete_gaussian(1, 0.2, order), rdp_sampled_gaussian(1, 0.2, order));
    }
}

TEST(RdpSampledDiscreteGaussian, GrowsWithOrderAndRateAndFallsWithNoise) {
  for (const double sigma : {0.3, 1.0, 50.0})
    for (const double q : {1e-7, 0.1, 0.9}) {
      double previous = 0;
      for (const double order : {1.01, 1.3, 2.0, 2.5, 7.9, 8.0, 31.4, 64.0, 511.0, 4096.0, 5000.0}) {
        const double at = rdp_sampled_discrete_gaussian(sigma, q, order);
        EXPECT_GT(at, 0);
        EXPECT_GE(at, previous * (1 - 1e-9)) << sigma << " " << q << " " << order;
        EXPECT_GE(at, rdp_sampled_discrete_gaussian(sigma * 1.1, q, order) * (1 - 1e-9)) << sigma << " " << q << " " << order;
        EXPECT_LE(at, rdp_sampled_discrete_gaussian(sigma, std::min(1.0, q * 1.1), order) * (1 + 1e-9)) << sigma << " " << q << " " << order;
        previous = at;
      }
    }
  EXPECT_EQ(rdp_sampled_discrete_gaussian(1, 0, 2.5), 0);
  EXPECT_EQ(rdp_sampled_discrete_gaussian(0, 0.1, 2.5), INFINITY);
  EXPECT_THROW(rdp_sampled_discrete_gaussian(1, 0.1, 1.0), Error);
  EXPECT_THROW(rdp_sampled_discrete_gaussian(-1, 0.1, 2.5), Error);
}

TEST(RdpSampledDiscreteGaussian, TheAccountantTakesItUnderAddRemoveAndZeroOut) {
  const Event discrete{PoissonSampledDiscreteGaussian{1.1, 0.02}}, continuous{PoissonSampledGaussian{1.1, 0.02}};
  for (const auto relation : {NeighbouringRelation::add_remove, NeighbouringRelation::zero_out}) {
    const auto lattice = make_accountant("rdp", relation), usual = make_accountant("rdp", relation);
    lattice->compose(discrete, 1000);
    usual->compose(continuous, 1000);
    EXPECT_GE(lattice->epsilon(1e-5), usual->epsilon(1e-5));
    EXPECT_LE(lattice->epsilon(1e-5), usual->epsilon(1e-5) * 1.01) << "integer orders cost little";
  }
  EXPECT_THROW(make_accountant("rdp", NeighbouringRelation::replace_one)->compose(discrete), Error);
  EXPECT_NE(to_json(discrete), to_json(continuous)) << "two mechanisms that would be remembered as one";
}

TEST(RdpSampledDiscreteGaussian, IsCalibratedForItself) {
  const auto step = [](double noise) { return Event{PoissonSampledDiscreteGaussian{noise, 0.05}}; };
  for (const double target : {0.3, 1.0, 4.0}) {
    const double noise = noise_multiplier_for(target, 1e-6, 400, step);
    const auto spent = [&](double at) {
      const auto accountant = make_accountant("rdp", NeighbouringRelation::add_remove);
      accountant->compose(step(at), 400);
      return accountant->epsilon(1e-6);
    };
    EXPECT_LE(spent(noise), target);
    EXPECT_GT(spent(noise * (1 - 1e-4)), target);
  }
}

}  // namespace
}  // namespace sotto::accountants
