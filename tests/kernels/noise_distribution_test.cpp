#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "base/error.h"
#include "kernels/noise/noise.h"
#include "tests/kernels/noise_oracle.h"

// Fixed keys, so that these tests cannot flake; their limits are what a correct generator passes with the stated
// probability for a random key.
namespace sotto::kernels {
namespace {

std::vector<float> normals(const StreamKey& stream, int64_t count) {
  std::vector<float> drawn(static_cast<size_t>(count));
  fill_gaussian(Exec::cpu(2), stream, 1.0, {drawn.data(), count});
  return drawn;
}

double upper_tail(double cut) {
  return 0.5 * std::erfc(cut / std::sqrt(2.0));
}

class EachGenerator : public testing::TestWithParam<Generator> {
 protected:
  static StreamKey stream_of(uint64_t seed, uint64_t step = 0, uint32_t tensor = 0) {
    return noise_stream(seed, step, tensor, GetParam());
  }
};

class NoiseDistribution : public EachGenerator {
 protected:
  void SetUp() override {
    if (drawn_by == GetParam()) return;
    drawn = normals(stream_of(11), kCount);
    std::sort(drawn.begin(), drawn.end());
    drawn_by = GetParam();
  }
  static void TearDownTestSuite() { drawn = {}; }
  static double mean_of(const std::function<double(double)>& f) {
    double total = 0;
    for (const float z : drawn) total += f(z);
    return total / kCount;
  }
  static double count_beyond(double cut) {
    const auto above = drawn.end() - std::upper_bound(drawn.begin(), drawn.end(), static_cast<float>(cut));
    const auto below = std::lower_bound(drawn.begin(), drawn.end(), static_cast<float>(-cut)) - drawn.begin();
    return static_cast<double>(above + below);
  }
  static constexpr int64_t kCount = 12'000'000;
  static std::vector<float> drawn;  // sorted
  static std::optional<Generator> drawn_by;
};
std::vector<float> NoiseDistribution::drawn;
std::optional<Generator> NoiseDistribution::drawn_by;
class NoiseAtLength : public EachGenerator {};
class NoiseIndependence : public EachGenerator {};

TEST_P(NoiseDistribution, HasTheMomentsOfANormal) {
  const double n = kCount;
  // 4 standard errors of each sample moment; the variance's is 0.16 %, inside the 0.5 % that is promised
  EXPECT_NEAR(mean_of([](double z) { return z; }), 0, 4 * std::sqrt(1 / n));
  EXPECT_NEAR(mean_of([](double z) { return z * z; }), 1, 4 * std::sqrt(2 / n));
  EXPECT_NEAR(mean_of([](double z) { return z * z * z; }), 0, 4 * std::sqrt(15 / n));
  EXPECT_NEAR(mean_of([](double z) { return z * z * z * z; }), 3, 4 * std::sqrt(96 / n));
}

TEST_P(NoiseDistribution, PassesKolmogorovSmirnov) {
  double distance = 0;
  for (int64_t i = 0; i < kCount; ++i) {
    const double below = upper_tail(-drawn[i]);
    distance = std::max({distance, below - double(i) / kCount, double(i + 1) / kCount - below});
  }
  EXPECT_LT(distance * std::sqrt(double(kCount)), 1.95);  // exceeded with probability 1e-3
}

TEST_P(NoiseDistribution, HasTheTailsOfANormal) {
  // cells |z| in [0,1) … [4.5,5), [5,∞); the last expects 6.9 draws
  const std::vector<double> cuts{0, 1, 2, 2.5, 3, 3.5, 4, 4.5, 5};
  double chi_square = 0;
  for (size_t i = 0; i < cuts.size(); ++i) {
    const bool last = i + 1 == cuts.size();
    const double want = 2 * kCount * (upper_tail(cuts[i]) - (last ? 0 : upper_tail(cuts[i + 1])));
    const double got = (i == 0 ? double(kCount) : count_beyond(cuts[i])) - (last ? 0 : count_beyond(cuts[i + 1]));
    chi_square += (got - want) * (got - want) / want;
  }
  EXPECT_LT(chi_square, 26.1);  // 8 degrees of freedom, exceeded with probability 1e-3
  for (const double cut : {4.0, 5.0}) {
    const double want = 2 * kCount * upper_tail(cut);
    EXPECT_NEAR(count_beyond(cut), want, 4 * std::sqrt(want)) << "beyond " << cut;
  }
}

// What shows in 10⁹ draws alone: moments to a few parts in 10⁵, and tails past 5.77, where a Box–Muller of 24-bit
// uniforms ends.
TEST_P(NoiseAtLength, AThousandMillionDrawsHaveTheMomentsAndTailsOfANormal) {
  constexpr int64_t kDraws = 1'000'000'000, kBlock = 4'000'000;
  const std::vector<float> cuts{0.5f, 1, 2, 3, 4, 5, 5.5f, 5.8f};
  std::vector<int64_t> beyond(cuts.size(), 0);
  std::vector<float> drawn(kBlock);
  double sums[4] = {};
  for (int64_t first = 0; first < kDraws; first += kBlock) {
    fill_gaussian(Exec::cpu(2), stream_of(31), 1.0, {drawn.data(), kBlock}, first);
    double block[4] = {};
    for (const float z : drawn) {
      const double x = z, square = x * x;
      block[0] += x, block[1] += square, block[2] += square * x, block[3] += square * square;
    }
    for (int k = 0; k < 4; ++k) sums[k] += block[k];
    for (size_t c = 0; c < cuts.size(); ++c) {
      int64_t count = 0;
      for (const float z : drawn) count += std::abs(z) > cuts[c];
      beyond[c] += count;
    }
  }
  // 4 standard errors each.
  const double n = kDraws;
  EXPECT_NEAR(sums[0] / n, 0, 4 * std::sqrt(1 / n));
  EXPECT_NEAR(sums[1] / n, 1, 4 * std::sqrt(2 / n));
  EXPECT_NEAR(sums[2] / n, 0, 4 * std::sqrt(15 / n));
  EXPECT_NEAR(sums[3] / n, 3, 4 * std::sqrt(96 / n));
  for (size_t c = 0; c < cuts.size(); ++c) {
    const double p = 2 * upper_tail(cuts[c]);
    EXPECT_NEAR(double(beyond[c]), n * p, 4 * std::sqrt(n * p * (1 - p))) << "beyond " << cuts[c];
  }
  EXPECT_GT(beyond.back(), 0);
}

// Σ x y / √n is nearly standard normal when x and y are independent.
double correlation_z(const std::vector<float>& x, const std::vector<float>& y, size_t lag = 0) {
  double products = 0, squares = 0;
  const size_t n = x.size() - lag;
  for (size_t i = 0; i < n; ++i) {
    products += double(x[i]) * y[i + lag];
    squares += (double(x[i]) * x[i] - 1) * (double(y[i + lag]) * y[i + lag] - 1) / 2;
  }
  return std::max(std::abs(products), std::abs(squares)) / std::sqrt(double(n));
}

constexpr int64_t kPairs = 500'000;
constexpr double kIndependent = 4.5;  // of two normals exceeded with probability 1.4e-5, at most 40 times a test

TEST_P(NoiseIndependence, OfStepsTensorsPurposesAndKeys) {
  const StreamKey base = stream_of(1, 5, 3);
  const std::vector<float> reference = normals(base, kPairs);
  const RunKey run = RunKey::from_seed(1);
  std::vector<std::pair<std::string, StreamKey>> others;
  for (const uint64_t step : {uint64_t{4}, uint64_t{6}, uint64_t{5} | uint64_t{1} << 32})
    others.emplace_back(cat("step ", step), run.stream(Purpose::noise, step, 3, GetParam()));
  for (const uint32_t tensor : {0u, 2u, 4u, 3u | 1u << 23})
    others.emplace_back(cat("tensor ", tensor), run.stream(Purpose::noise, 5, tensor, GetParam()));
  for (const Purpose purpose : {Purpose::sampling, Purpose::initialisation, Purpose::dropout})
    others.emplace_back(cat("purpose ", static_cast<int>(purpose)), run.stream(purpose, 5, 3, GetParam()));
  others.emplace_back("another seed", stream_of(2, 5, 3));
  for (const Generator other : kGenerators)
    if (other != GetParam()) others.emplace_back(name_of(other), noise_stream(1, 5, 3, other));
  const int key_bits = GetParam() == Generator::philox ? 64 : 256, apart = key_bits / 7;
  for (int bit = 0; bit < key_bits; bit += apart) {
    StreamKey flipped = base;
    flipped.key[bit / 32] ^= 1u << bit % 32;
    others.emplace_back(cat("key bit ", bit), flipped);
  }
  for (const auto& [name, stream] : others)
    EXPECT_LT(correlation_z(reference, normals(stream, kPairs)), kIndependent) << name;
}

TEST_P(NoiseIndependence, OfElementsOfOneStream) {
  const std::vector<float> drawn = normals(stream_of(21), kPairs);
  for (const size_t lag : {1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 63, 64, 127, 128, 129, 1024, 4096})
    EXPECT_LT(correlation_z(drawn, drawn, lag), kIndependent) << "lag " << lag;
  // the two of a pair share a radius: the one place where a slip in the layout would show
  std::vector<float> even, odd;
  for (size_t i = 0; i < drawn.size(); i += 2) even.push_back(drawn[i]), odd.push_back(drawn[i + 1]);
  EXPECT_LT(correlation_z(even, odd), kIndependent);
}

TEST_P(NoiseIndependence, EachOfTheEightSlotsHasVarianceOne) {
  const std::vector<float> drawn = normals(stream_of(22), 8 * kPairs);
  for (size_t slot = 0; slot < 8; ++slot) {
    double squares = 0;
    for (size_t i = slot; i < drawn.size(); i += 8) squares += double(drawn[i]) * drawn[i];
    EXPECT_NEAR(squares / kPairs, 1, 4.5 * std::sqrt(2.0 / kPairs)) << "slot " << slot;
  }
}

std::string generator_of(const testing::TestParamInfo<Generator>& info) {
  return name_of(info.param);
}
INSTANTIATE_TEST_SUITE_P(, NoiseDistribution, testing::ValuesIn(kGenerators), generator_of);
INSTANTIATE_TEST_SUITE_P(, NoiseAtLength, testing::ValuesIn(kGenerators), generator_of);
INSTANTIATE_TEST_SUITE_P(, NoiseIndependence, testing::ValuesIn(kGenerators), generator_of);

}  // namespace
}  // namespace sotto::kernels
