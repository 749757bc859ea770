#include "kernels/lattice/discrete_gaussian.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "kernels/lattice/discrete_gaussian_impl.h"
#include "kernels/lattice/draw.h"
#include "tests/kernels/acceptance_reference.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/instruction_sets.h"

// Fixed keys, so that the statistical tests cannot flake.
namespace sotto::kernels {
namespace {

using Draws = std::vector<int64_t>;

StreamKey lattice_stream(uint64_t seed, uint64_t step = 0, uint32_t tensor = 0) {
  return RunKey::from_seed(seed).stream(Purpose::lattice_noise, step, tensor);
}

// The definition in long double on libsodium's words, sharing no code with the kernel. Wrong where a random number of
// 128 bits is within 2^-60 of its threshold, which with these keys none is.
Draws expected_draws(StreamKey stream, int log2_scale, int64_t count) {
  const long double scale = std::ldexp(1.0L, log2_scale);
  long double norm = 0;
  for (int z = 0; z < 12; ++z) norm += std::exp2(-static_cast<long double>(z * z));
  Draws draws(static_cast<size_t>(count));
  std::vector<bool> done(draws.size());
  for (int attempt = 0; attempt < 60; ++attempt, ++stream.nonce[0]) {
    std::vector<uint64_t> words(static_cast<size_t>(8 * count));
    fill_words(stream, words.data(), 8 * count);
    for (size_t i = 0; i < draws.size(); ++i) {
      if (done[i]) continue;
      const uint64_t* w = &words[8 * i];
      const auto uniform = [w](int k) { return std::ldexp(std::ldexp(static_cast<long double>(w[k]), -64) + w[k + 1], -64); };
      long double tail = 0;
      int z = 0;
      for (int j = 11; j >= 1; --j) {
        tail += std::exp2(-static_cast<long double>(j * j));
        if (uniform(2) < tail / norm) z = std::max(z, j);
      }
      const uint64_t x = log2_scale == 0 ? 0 : w[4] >> (64 - log2_scale);
      const bool negative = w[5] & 1;
      const long double share = x / scale;
      if (uniform(0) >= std::exp2(-share * (share + 2 * z)) || (negative && x == 0 && z == 0)) continue;
      draws[i] = static_cast<int64_t>(x) + static_cast<int64_t>(z) * (int64_t{1} << log2_scale);
      if (negative) draws[i] = -draws[i];
      done[i] = true;
    }
  }
  return draws;
}

class DiscreteGaussianTest : public BackendTest {
 protected:
  Draws run(const StreamKey& stream, int log2_scale, const Draws& before, int64_t first = 0, int threads = 1) {
    Guarded<int64_t> out(before, on_cuda());
    add_discrete_gaussian(exec(threads), stream, log2_scale, out.view(), first);
    return out.read();
  }
};

TEST_P(DiscreteGaussianTest, AddsTheDrawsOfItsStream) {
  for (const int log2_scale : {0, 1, 2, 9, 32, 40})
    for (const int64_t count : {0, 1, 15, 17, 1023, 1025, 3000}) {
      const StreamKey stream = lattice_stream(static_cast<uint64_t>(log2_scale), 3, 7);
      const Draws expected = expected_draws(stream, log2_scale, count);
      Draws before(expected.size());
      for (size_t i = 0; i < before.size(); ++i) before[i] = static_cast<int64_t>(i) * 1'000'003 - (int64_t{1} << 60);
      const Draws got = run(stream, log2_scale, before);
      for (size_t i = 0; i < before.size(); ++i) ASSERT_EQ(got[i] - before[i], expected[i]) << i << " of " << count;
    }
}

TEST_P(DiscreteGaussianTest, EveryDrawDependsOnItsPositionAlone) {
  const StreamKey stream = lattice_stream(5);
  const Draws whole = run(stream, 40, Draws(5000));
  EXPECT_EQ(run(stream, 40, Draws(5000), 0, 2), whole) << "two threads";
  EXPECT_EQ(run(stream, 40, Draws(5000), 0, 7), whole) << "seven threads";
  for (const int64_t first : {1, 31, 1024, 4999}) {
    const Draws part = run(stream, 40, Draws(static_cast<size_t>(5000 - first)), first);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + first)) << first;
  }
  EXPECT_NE(run(lattice_stream(5, 1), 40, Draws(9)), Draws(whole.begin(), whole.begin() + 9));
}

SOTTO_ON_EACH_BACKEND(DiscreteGaussianTest);

TEST(DiscreteGaussian, IsTheSameBitsOnEveryInstructionSet) {
  const StreamKey stream = lattice_stream(6);
  Draws plain(1000);
  draw_discrete_gaussian(InstructionSet::plain, stream, 40, 17, 1000, plain.data());
  for (const InstructionSet set : sets_of_this_machine()) {
    Draws other(1000);
    draw_discrete_gaussian(set, stream, 40, 17, 1000, other.data());
    EXPECT_EQ(other, plain) << name_of(set);
  }
}

TEST(DiscreteGaussian, AcceptanceIsWithin65UnitsOfTheExactPower) {
  for (const AcceptanceReference& each : kAcceptances) {
    const Uint128 got = acceptance(each.x, each.z, each.log2_scale), exact = wide(each.high, each.low);
    const Uint128 error = got > exact ? got - exact : exact - got;
    EXPECT_LE(static_cast<double>(error), 65) << each.x << " " << each.z << " " << each.log2_scale;
  }
  for (const int log2_scale : {0, 1, 40})
    for (uint64_t z = 0; z < 12; ++z) EXPECT_TRUE(acceptance(0, z, log2_scale) == wide(uint64_t{1} << 63, 0)) << z;
}

// Numbers of 512 bits, of which sums of shifted ones are compared exactly.
struct Exact {
  uint32_t digits[17] = {};
  void add_shifted(Uint128 value, int shift) {
    uint64_t carry = 0;
    for (int i = 0; i < 17; ++i) {
      const int from = 32 * i - shift;  // of value, the bits from here on
      const Uint128 part = from >= 128 || from <= -32 ? 0 : from >= 0 ? value >> from : value << -from;
      carry += uint64_t{digits[i]} + static_cast<uint32_t>(part);
      digits[i] = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
  }
  bool operator<=(const Exact& other) const {
    return !std::lexicographical_compare(std::rbegin(other.digits), std::rend(other.digits), std::rbegin(digits), std::rend(digits));
  }
};

TEST(DiscreteGaussian, ThresholdsOfZAreTheTailsRoundedDown) {
  constexpr int kTerms = 17;  // of Σ 2^-z²; the next is below 2^-300
  for (uint64_t j = 1; j <= 11; ++j) {
    Uint128 threshold = 0;  // how many of the 2^127 numbers give at least j
    for (int bit = 126; bit >= 0; --bit)
      if (binary_half_gaussian((threshold | Uint128{1} << bit) - 1) >= j) threshold |= Uint128{1} << bit;
    Exact below, tail, above;  // threshold · Σ 2^-i² ≤ 2^127 · Σ_(i ≥ j) 2^-i² ≤ (threshold + 1) · Σ 2^-i²
    for (int i = 0; i <= kTerms; ++i) {
      const int shift = kTerms * kTerms - i * i;
      below.add_shifted(threshold, shift);
      above.add_shifted(threshold + 1, shift);
      if (i >= static_cast<int>(j)) tail.add_shifted(Uint128{1} << 127, shift);
    }
    EXPECT_TRUE(below <= tail && tail <= above) << j;
    EXPECT_FALSE(tail <= below && j < 11) << j;
  }
}

// Words of an attempt: decision, z, x, sign; all of them little-endian.
Attempt attempt_with(uint64_t decision, uint64_t z, uint64_t x, uint32_t sign, int log2_scale) {
  const auto low = [](uint64_t v) { return static_cast<uint32_t>(v); };
  const auto high = [](uint64_t v) { return static_cast<uint32_t>(v >> 32); };
  const uint32_t words[16] = {low(decision), high(decision), low(decision), high(decision), low(z), high(z),
                              low(z),        high(z),        low(x),        high(x),        sign};
  return attempt_discrete_gaussian<1>(words, log2_scale);
}

TEST(DiscreteGaussian, KnownAttempts) {
  constexpr uint64_t kMost = ~uint64_t{0};
  const struct {
    uint64_t decision, z, x;
    uint32_t sign;
    int log2_scale;
    int64_t accepted, value;
  } cases[] = {
      {kMost, kMost, 0, 0, 40, 1, 0},                                          // 0 is always taken
      {kMost, kMost, 0, 1, 40, 0, 0},                                          // -0 never
      {0, kMost, 0, 1, 0, 0, 0},
      {kMost, 0, 0, 0, 40, 1, int64_t{11} << 40},                              // the largest there is at x = 0
      {kMost, 0, 0, 1, 40, 1, -(int64_t{11} << 40)},
      {0, 0, kMost, 1, 40, 1, -((int64_t{12} << 40) - 1)},                     // the largest there is
      {kMost, kMost, uint64_t{1} << 24, 0, 40, 0, 0},                          // refused with probability 2^-80.5 …
      {kMost - 1, kMost, uint64_t{1} << 24, 0, 40, 1, 1},                      // … above 1 - 2^-63
      {uint64_t{1} << 63, kMost, uint64_t{1} << 63, 1, 1, 1, -1},              // 1/2 is below 2^-1/4 …
      {kMost - (uint64_t{1} << 60), kMost, uint64_t{1} << 63, 0, 1, 0, 0},     // … 15/16 is not
      {0xd744fccad69d6af3u, kMost, uint64_t{1} << 63, 0, 1, 1, 1},             // 2^64 · 2^-1/4 = d744fccad69d6af4.39…
      {0xd744fccad69d6af4u, kMost, uint64_t{1} << 63, 0, 1, 0, 0},
      {kMost, uint64_t{1} << 62, kMost, 1, 0, 1, -1},                          // k = 1: x is always 0
  };
  for (const auto& c : cases) {
    const Attempt got = attempt_with(c.decision, c.z, c.x, c.sign, c.log2_scale);
    EXPECT_EQ(got.accepted, c.accepted) << c.decision << " " << c.x;
    EXPECT_EQ(got.value, c.value) << c.decision << " " << c.x;
  }
}

// Against the exact law 2^-(y/k)² / Σ, in cells of at least ten expected draws.
TEST(DiscreteGaussian, PassesChiSquareAtSeveralScales) {
  constexpr int64_t kCount = 1'000'000;
  for (const int log2_scale : {0, 1, 2, 4, 7}) {
    Draws draws(kCount);
    add_discrete_gaussian(Exec::cpu(2), lattice_stream(100 + static_cast<uint64_t>(log2_scale)), log2_scale, {draws.data(), kCount});
    std::map<int64_t, int64_t> counts;
    for (const int64_t y : draws) ++counts[y];
    const int64_t last = int64_t{13} << log2_scale;
    const auto weight = [&](int64_t y) { return std::exp2(-std::pow(std::ldexp(static_cast<double>(y), -log2_scale), 2)); };
    double norm = 0, chi_square = 0, cells = -1, want = 0, got = 0;
    for (int64_t y = -last; y <= last; ++y) norm += weight(y);
    for (int64_t y = -last; y <= last; ++y) {
      want += kCount * weight(y) / norm;
      got += static_cast<double>(counts[y]);
      const double rest = [&] { double sum = 0; for (int64_t v = y + 1; v <= last; ++v) sum += weight(v); return kCount * sum / norm; }();
      if (y < last && (want < 10 || rest < 10)) continue;
      chi_square += (got - want) * (got - want) / want;
      want = got = 0, ++cells;
    }
    // Wilson and Hilferty: a standard normal. 4 is passed with probability 3e-5.
    const double spread = 2 / (9 * cells);
    EXPECT_LT((std::cbrt(chi_square / cells) - (1 - spread)) / std::sqrt(spread), 4) << "k = 2^" << log2_scale;
    EXPECT_GE(cells, 6);
  }
}

TEST(DiscreteGaussian, OnAFineLatticeHasTheMomentsAndTailsOfANormal) {
  constexpr int64_t kCount = 4'000'000;
  Draws draws(kCount);
  add_discrete_gaussian(Exec::cpu(2), lattice_stream(9), 40, {draws.data(), kCount});
  std::vector<double> z(kCount);
  double moments[5] = {};
  for (size_t i = 0; i < z.size(); ++i) {
    z[i] = static_cast<double>(draws[i]) / 0x1p40 * std::sqrt(2 * std::log(2.0));
    for (int m = 1; m <= 4; ++m) moments[m] += std::pow(z[i], m) / kCount;
  }
  // Four standard errors each.
  EXPECT_NEAR(moments[1], 0, 4 * std::sqrt(1.0 / kCount));
  EXPECT_NEAR(moments[2], 1, 4 * std::sqrt(2.0 / kCount));
  EXPECT_NEAR(moments[3], 0, 4 * std::sqrt(15.0 / kCount));
  EXPECT_NEAR(moments[4], 3, 4 * std::sqrt(96.0 / kCount));
  std::sort(z.begin(), z.end());
  double distance = 0;
  for (size_t i = 0; i < z.size(); ++i) {
    const double below = 0.5 * std::erfc(-z[i] / std::sqrt(2.0));
    distance = std::max({distance, below - double(i) / kCount, double(i + 1) / kCount - below});
  }
  EXPECT_LT(distance * std::sqrt(double(kCount)), 1.95);  // Kolmogorov and Smirnov: exceeded with probability 1e-3
}

TEST(DiscreteGaussian, NeighboursStepsAndTensorsAreUncorrelated) {
  constexpr int64_t kCount = 200'000;
  const auto drawn = [](uint64_t step, uint32_t tensor) {
    Draws draws(kCount);
    add_discrete_gaussian(Exec::cpu(2), lattice_stream(4, step, tensor), 40, {draws.data(), kCount});
    std::vector<double> z(draws.size());
    for (size_t i = 0; i < z.size(); ++i) z[i] = static_cast<double>(draws[i]) / 0x1p40 * std::sqrt(2 * std::log(2.0));
    return z;
  };
  const auto one = drawn(1, 1), step = drawn(2, 1), tensor = drawn(1, 2);
  const auto correlation = [&](const std::vector<double>& a, const std::vector<double>& b, size_t lag) {
    double sum = 0;
    for (size_t i = lag; i < a.size(); ++i) sum += a[i - lag] * b[i];
    return sum / std::sqrt(double(kCount));
  };
  for (const double z : {correlation(one, step, 0), correlation(one, tensor, 0), correlation(one, one, 1), correlation(one, one, 16)})
    EXPECT_LT(std::abs(z), 4);
}

TEST(DiscreteGaussian, DeltaGrowsWithDrawsAndEpsilonAndIsNeverAboveOne) {
  EXPECT_EQ(discrete_gaussian_delta(0, 5, 3), 0);
  EXPECT_GE(discrete_gaussian_delta(1, 1, 0), 2 * kDiscreteGaussianDistance);
  EXPECT_NEAR(discrete_gaussian_delta(1000, 1000, 2) / (1e6 * (1 + std::exp(2.0)) * kDiscreteGaussianDistance), 1, 1e-9);
  EXPECT_EQ(discrete_gaussian_delta(1, 1, 1000), 1);
}

TEST(DiscreteGaussian, RefusesOtherStreamsScalesAndPositionsBeyondTheEnd) {
  int64_t out[2] = {};
  const auto refused = [&](const StreamKey& stream, int log2_scale, int64_t first) {
    EXPECT_THROW(add_discrete_gaussian(Exec::cpu(1), stream, log2_scale, {out, 2}, first), Error);
  };
  refused(RunKey::from_seed(1).stream(Purpose::noise, 0), 40, 0);
  refused(RunKey::from_seed(1).stream(Purpose::lattice_noise, 0, 0, Generator::philox), 40, 0);
  refused(attempt_stream(lattice_stream(1), 1), 40, 0);
  refused(lattice_stream(1), 41, 0);
  refused(lattice_stream(1), -1, 0);
  refused(lattice_stream(1), 40, -1);
  refused(lattice_stream(1), 40, (int64_t{1} << 32) - 1);
  add_discrete_gaussian(Exec::cpu(1), lattice_stream(1), 40, {out, 2}, (int64_t{1} << 32) - 2);
  EXPECT_NE(out[0], 0);
}

}  // namespace
}  // namespace sotto::kernels
