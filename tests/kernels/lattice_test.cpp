#include "kernels/lattice/lattice.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/clip/clip.h"
#include "kernels/row_norms/row_norms.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

// The definition: one double quotient, one product, one rounding. __int128 holds every sum here.
Uint128 magnitude(float gradient, float factor, double step, Rounding rounding) {
  if (rounding == Rounding::dropped || factor == 0) return 0;
  const double value = gradient * (double(factor) / step);
  if (!(std::abs(value) <= 0x1p50)) return kLargestUint128;
  return static_cast<Uint128>(std::abs(rounding == Rounding::nearest ? std::nearbyint(value) : std::trunc(value)));
}

class LatticeTest : public BackendTest {
 protected:
  std::vector<Uint128> norms(const std::vector<float>& rows, const std::vector<float>& factors, const std::vector<Rounding>& roundings,
                             double step, std::vector<Uint128> before = {}, int threads = 1) {
    before.resize(factors.size());
    const auto n = static_cast<int64_t>(factors.size());
    Guarded<float> x(rows, on_cuda()), f(factors, on_cuda());
    Guarded<Rounding> r(roundings, on_cuda());
    Guarded<Uint128> squared(before, on_cuda());
    accumulate_lattice_norms(exec(threads), {x.data(), n, n ? int64_t(rows.size()) / n : 0}, {f.data(), n}, {r.data(), n}, step, squared.view());
    return squared.read();
  }
  std::vector<int64_t> sums(const std::vector<float>& rows, const std::vector<float>& factors, const std::vector<Rounding>& roundings,
                            double step, std::vector<int64_t> before, int threads = 1) {
    const auto n = static_cast<int64_t>(factors.size());
    Guarded<float> x(rows, on_cuda()), f(factors, on_cuda());
    Guarded<Rounding> r(roundings, on_cuda());
    Guarded<int64_t> sum(before, on_cuda());
    accumulate_on_lattice(exec(threads), {x.data(), n, int64_t(before.size())}, {f.data(), n}, {r.data(), n}, step, sum.view());
    return sum.read();
  }
};

TEST_P(LatticeTest, NormsAndSumsAreThoseOfTheRoundedEntriesExactly) {
  std::mt19937_64 rng(3);
  for (int round = 0; round < 60; ++round) {
    const int64_t n = int64_t(rng() % 9), columns = round < 6 ? 4093 + round : int64_t(rng() % 300);
    const double step = std::ldexp(1.0 + double(rng() % 1000) / 1000, -int(rng() % 49));
    const auto rows = normal_values(n * columns, rng(), 0.2f);
    std::vector<float> factors(n);
    std::vector<Rounding> roundings(n);
    for (auto& factor : factors) factor = rng() % 5 == 0 ? 0.0f : float(rng() % 1000) / 1000;
    for (auto& rounding : roundings) rounding = static_cast<Rounding>(rng() % 3);
    std::vector<Uint128> expected_norms(n, 7);
    std::vector<int64_t> expected_sums(columns, -5);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < columns; ++j) {
        const float g = rows[i * columns + j];
        const Uint128 x = magnitude(g, factors[i], step, roundings[i]);
        expected_norms[i] += x * x;
        expected_sums[j] += g < 0 ? -static_cast<int64_t>(x) : static_cast<int64_t>(x);
      }
    ASSERT_TRUE(norms(rows, factors, roundings, step, std::vector<Uint128>(n, 7)) == expected_norms) << "round " << round;
    ASSERT_EQ(sums(rows, factors, roundings, step, std::vector<int64_t>(columns, -5)), expected_sums) << "round " << round;
  }
}

TEST_P(LatticeTest, TiesGoToTheEvenNeighbour) {
  const std::vector<float> row = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 0.49f, -0.51f, 0.0f, -0.0f};
  EXPECT_EQ(sums(row, {1}, {Rounding::nearest}, 1, std::vector<int64_t>(10)), (std::vector<int64_t>{0, 2, 2, 0, -2, -2, 0, -1, 0, 0}));
  EXPECT_EQ(sums(row, {1}, {Rounding::toward_zero}, 1, std::vector<int64_t>(10)), (std::vector<int64_t>{0, 1, 2, 0, -1, -2, 0, 0, 0, 0}));
}

TEST_P(LatticeTest, TheLargestEntriesAreExact) {
  const float large = 0x1p50f, below = 0x1.fffffep49f;
  std::vector<float> row(9000, large);
  row[1] = -below;
  const Uint128 square = Uint128{1} << 100, smaller = static_cast<Uint128>(below) * static_cast<Uint128>(below);
  EXPECT_TRUE(norms(row, {1}, {Rounding::nearest}, 1)[0] == 8999 * square + smaller);
  const auto sum = sums(row, {1}, {Rounding::toward_zero}, 1, std::vector<int64_t>(9000, 1));
  EXPECT_EQ(sum[0], (int64_t{1} << 50) + 1);
  EXPECT_EQ(sum[1], 1 - static_cast<int64_t>(below));
}

TEST_P(LatticeTest, WhatIsNoNumberOrTooLargeHasTheLargestNorm) {
  for (const float wrong : {NAN, INFINITY, -INFINITY, 0x1.000002p50f, -3e38f})
    for (const size_t place : {0, 299, 5000}) {
      std::vector<float> rows(2 * 5001, 1.0f);
      rows[5001 + place] = wrong;
      const auto squared = norms(rows, {1, 1}, {Rounding::nearest, Rounding::toward_zero}, 1, {3, 3});
      EXPECT_TRUE(squared[0] == 5004) << "another sample's norm";
      EXPECT_TRUE(squared[1] == kLargestUint128);
      EXPECT_TRUE(norms(rows, {1, 1}, {Rounding::nearest, Rounding::nearest}, 1, squared)[1] == kLargestUint128) << "sums wrap around";
      EXPECT_EQ(sums(rows, {1, 1}, {Rounding::nearest, Rounding::dropped}, 1, std::vector<int64_t>(5001)), std::vector<int64_t>(5001, 1));
      EXPECT_EQ(sums(rows, {1, 0}, {Rounding::nearest, Rounding::nearest}, 1, std::vector<int64_t>(5001)), std::vector<int64_t>(5001, 1));
    }
  std::vector<Uint128> near(1, kLargestUint128 - 1);
  EXPECT_TRUE(norms({2.0f}, {1}, {Rounding::nearest}, 1, near)[0] == kLargestUint128) << "wraps around";
}

TEST_P(LatticeTest, AnyCutAndOrderOfTheSamplesGivesTheSameBits) {
  constexpr int64_t n = 40, columns = 3001;
  const auto rows = normal_values(n * columns, 5, 1e-2f);
  std::vector<float> factors(n);
  std::vector<Rounding> roundings(n);
  for (int64_t i = 0; i < n; ++i) factors[i] = float(i + 1) / n, roundings[i] = static_cast<Rounding>(i % 3);
  const std::vector<int64_t> none(columns);
  const auto whole = sums(rows, factors, roundings, 1e-11, none, 1);
  EXPECT_EQ(sums(rows, factors, roundings, 1e-11, none, 2), whole);
  EXPECT_EQ(sums(rows, factors, roundings, 1e-11, none, 5), whole);
  auto backwards = none;
  for (int64_t i = n - 1; i >= 0; --i) {
    const std::vector<float> one(rows.begin() + i * columns, rows.begin() + (i + 1) * columns);
    backwards = sums(one, {factors[i]}, {roundings[i]}, 1e-11, backwards);
  }
  EXPECT_EQ(backwards, whole);
  EXPECT_TRUE(norms(rows, factors, roundings, 1e-11, {}, 1) == norms(rows, factors, roundings, 1e-11, {}, 3));
}

TEST_P(LatticeTest, SumsAreScaledInDouble) {
  const std::vector<int64_t> in = {0, 1, -1, (int64_t{1} << 62) + 12345, -(int64_t{1} << 53) - 1};
  Guarded<int64_t> sum(in, on_cuda());
  Guarded<float> out(std::vector<float>(5), on_cuda());
  scale_from_lattice(exec(2), {sum.data(), 5}, 1e-9, out.view());
  const auto got = out.read();
  for (size_t j = 0; j < in.size(); ++j) EXPECT_EQ(got[j], static_cast<float>(1e-9 * static_cast<double>(in[j])));
}

SOTTO_ON_EACH_BACKEND(LatticeTest);

TEST(Lattice, TheNoiseReachesItsMultiplierForTheBound) {
  for (double z = kSmallestLatticeNoise; z <= kLargestLatticeNoise; z *= 1.37) {
    const Uint128 bound = lattice_bound(z);
    // σ² = 2^80 / (2 ln 2); in long double 2^-64 relative.
    const long double variance = 0x1p80L / (2 * 0.693147180559945309417232121458L);
    EXPECT_GE(variance / static_cast<long double>(bound), static_cast<long double>(z) * z);
    EXPECT_GE(lattice_noise_multiplier(bound), z);
    EXPECT_LE(static_cast<long double>(lattice_noise_multiplier(bound)), std::sqrt(variance / static_cast<long double>(bound)));
    // What flooring takes off is one point of at least 2^19.
    EXPECT_LE(lattice_noise_multiplier(bound), z * (1 + 1e-12 + 1 / static_cast<double>(bound)));
    for (const double clip_norm : {1e-18, 0.1, 1.0, 3.7, 1e18}) {
      const double step = lattice_step(bound, clip_norm);
      EXPECT_LE(static_cast<long double>(step) * std::sqrt(static_cast<long double>(bound)), clip_norm);
      EXPECT_GE(step * std::sqrt(static_cast<double>(bound)), clip_norm * (1 - 1e-14));
    }
    const int64_t capacity = lattice_capacity(bound);
    EXPECT_LT(std::sqrt(static_cast<long double>(bound)) * capacity + 12 * 0x1p40L, 0x1p62L);
    EXPECT_GE(capacity, z > 0.1 ? int64_t{1} << 17 : 2048);
  }
  for (const double wrong : {0.0, -1.0, 1e-4, 1e12, double(NAN), double(INFINITY)}) EXPECT_THROW(lattice_bound(wrong), Error) << wrong;
}

TEST(Lattice, SamplesBeyondTheBoundAreShortenedThenDropped) {
  const std::vector<Uint128> squared = {9, 10, 10, 10, kLargestUint128};
  std::vector<Rounding> roundings = {Rounding::nearest, Rounding::nearest, Rounding::toward_zero, Rounding::dropped, Rounding::toward_zero};
  EXPECT_EQ(shorten_beyond({squared.data(), 5}, 10, {roundings.data(), 5}), 1);
  EXPECT_EQ(roundings[4], Rounding::dropped);
  EXPECT_EQ(shorten_beyond({squared.data(), 5}, 9, {roundings.data(), 5}), 2);
  EXPECT_EQ(roundings, (std::vector<Rounding>{Rounding::nearest, Rounding::toward_zero, Rounding::dropped, Rounding::dropped, Rounding::dropped}));
  EXPECT_EQ(shorten_beyond({squared.data(), 5}, 10, {roundings.data(), 5}), 0);
}

// A clipped row is always kept: its factor leaves room for rounding, and rounding towards zero needs none.
TEST(Lattice, WhatClippingShortenedIsNotDropped) {
  std::mt19937_64 rng(8);
  for (const double z : {0.01, 0.7, 3.0, 1000.0, 1e6}) {
    const Uint128 bound = lattice_bound(z);
    const double step = lattice_step(bound, 0.5);
    for (int round = 0; round < 40; ++round) {
      const int64_t columns = 1 + int64_t(rng() % 5000);
      const auto row = adversarial_values(1, columns, rng);
      double squared = 0;
      float factor = 0;
      Rounding rounding = Rounding::nearest;
      accumulate_row_norms(Exec::cpu(1), {row.data(), 1, columns}, {&squared, 1});
      clip_factors(Exec::cpu(1), {&squared, 1}, {}, 0.5, {&factor, 1});
      if (factor == 0) continue;
      int changes = 0;
      for (Uint128 norm = 0;; norm = 0, ++changes) {
        accumulate_lattice_norms(Exec::cpu(1), {row.data(), 1, columns}, {&factor, 1}, {&rounding, 1}, step, {&norm, 1});
        if (shorten_beyond({&norm, 1}, bound, {&rounding, 1}) == 0) break;
      }
      EXPECT_NE(rounding, Rounding::dropped) << z << " " << columns;
      if (z < 100) {
        EXPECT_EQ(changes, 0) << z << " " << columns;
      }
    }
  }
}

TEST(Lattice, RefusesSizesThatDoNotMatchAndStepsThatAreNone) {
  const float x[4] = {};
  const Rounding roundings[2] = {};
  Uint128 norms[3] = {};
  int64_t sums[3] = {};
  float out[3] = {};
  const Exec exec = Exec::cpu(1);
  EXPECT_THROW(accumulate_lattice_norms(exec, {x, 2, 2}, {x, 2}, {roundings, 2}, 1, {norms, 3}), Error);
  EXPECT_THROW(accumulate_lattice_norms(exec, {x, 2, 2}, {x, 1}, {roundings, 2}, 1, {norms, 2}), Error);
  EXPECT_THROW(accumulate_on_lattice(exec, {x, 2, 2}, {x, 2}, {roundings, 1}, 1, {sums, 2}), Error);
  EXPECT_THROW(accumulate_on_lattice(exec, {x, 2, 2}, {x, 2}, {roundings, 2}, 1, {sums, 3}), Error);
  for (const double step : {0.0, -1.0, double(NAN), double(INFINITY)})
    EXPECT_THROW(accumulate_on_lattice(exec, {x, 2, 2}, {x, 2}, {roundings, 2}, step, {sums, 2}), Error) << step;
  EXPECT_THROW(scale_from_lattice(exec, {sums, 3}, 1, {out, 2}), Error);
  EXPECT_THROW(lattice_step(0, 1), Error);
}

}  // namespace
}  // namespace sotto::kernels
