#include "kernels/noise/noise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "cuda/device_array.h"
#include "kernels/noise/noise_impl.h"
#include "kernels/noise/truncation.h"
#include "tests/kernels/noise_oracle.h"

namespace sotto::kernels {
namespace {

enum class Backend { cpu, cuda };

class NoiseTest : public testing::TestWithParam<std::tuple<Backend, Generator>> {
 protected:
  void SetUp() override {
    if (on_cuda() && !cuda_present()) GTEST_SKIP() << "no CUDA device on this machine";
  }
  bool on_cuda() const { return std::get<0>(GetParam()) == Backend::cuda; }
  StreamKey stream_of(uint64_t seed, uint64_t step = 0, uint32_t tensor = 0) const {
    return noise_stream(seed, step, tensor, std::get<1>(GetParam()));
  }
  // sum + noise, or with `sum` empty the noise of `size` elements
  std::vector<float> run(const StreamKey& stream, double stddev, const std::vector<float>& sum, int64_t size,
                         int64_t first = 0) {
    std::vector<float> out(static_cast<size_t>(size));
    if (!on_cuda()) {
      call(Exec::cpu(2), stream, stddev, sum.empty() ? nullptr : sum.data(), {out.data(), size}, first);
      return out;
    }
    DeviceArray<float> d_sum(sum), d_out(out);
    call(Exec::cuda(nullptr), stream, stddev, sum.empty() ? nullptr : d_sum.data(), {d_out.data(), size}, first);
    return d_out.to_host();
  }
  static void call(const Exec& exec, const StreamKey& stream, double stddev, const float* sum, VectorView<float> out,
                   int64_t first) {
    if (sum == nullptr) return fill_gaussian(exec, stream, stddev, out, first);
    add_gaussian(exec, stream, stddev, {sum, out.size}, out, first);
  }
};

TEST_P(NoiseTest, AddsTheStreamsNormalsTimesTheStandardDeviation) {
  const StreamKey stream = stream_of(31, 9, 2);
  for (const int64_t size : {1, 2, 7, 8, 9, 127, 128, 129, 1023, 1024, 1025, 12345}) {
    const auto z = expected_normals(stream, size);
    std::vector<float> sum(static_cast<size_t>(size));
    for (int64_t i = 0; i < size; ++i) sum[i] = static_cast<float>(i % 17) - 8.0f;
    const auto noise = run(stream, 2.5, {}, size);
    const auto noised = run(stream, 2.5, sum, size);
    for (int64_t i = 0; i < size; ++i) {
      // 4 ulp of the normal, one of each rounding after it
      ASSERT_NEAR(noise[i], static_cast<double>(2.5L * z[i]), 6e-7 * (1 + 2.5 * std::abs(noise[i])))
          << i << " of " << size;
      ASSERT_NEAR(noised[i], static_cast<double>(sum[i] + 2.5L * z[i]), 6e-7 * (8 + 2.5 * std::abs(noise[i])))
          << i << " of " << size;
    }
  }
}

TEST_P(NoiseTest, ShardsAreTheSameBitsAsTheWhole) {
  const StreamKey stream = stream_of(33);
  constexpr int64_t kSize = 20'011;
  const auto whole = run(stream, 1.5, {}, kSize);
  for (const int64_t cut : {8, 16, 64, 1000, 1024, 8192, 20'008}) {
    const auto head = run(stream, 1.5, {}, cut), tail = run(stream, 1.5, {}, kSize - cut, cut);
    EXPECT_EQ(std::memcmp(head.data(), whole.data(), head.size() * 4), 0) << "head of " << cut;
    EXPECT_EQ(std::memcmp(tail.data(), whole.data() + cut, tail.size() * 4), 0) << "tail from " << cut;
  }
}

TEST_P(NoiseTest, AStreamsLastNormalsAreReachable) {
  const StreamKey stream = stream_of(34);
  const int64_t blocks = int64_t{1} << log2_blocks(stream.generator);
  const auto last = run(stream, 1.0, {}, 8, 8 * blocks - 8);
  float want[8];
  if (stream.generator == Generator::philox)
    gaussian_blocks<Generator::philox, OneLane>(stream, static_cast<uint32_t>(blocks - 1), want);
  else
    gaussian_blocks<Generator::chacha20, OneLane>(stream, static_cast<uint32_t>(blocks - 1), want);
  EXPECT_EQ(std::memcmp(last.data(), want, sizeof want), 0);
}

TEST_P(NoiseTest, NanAndInfinityOfTheSumAreNotHidden) {
  const auto noised = run(stream_of(35), 1.0, {NAN, INFINITY, -INFINITY, 0}, 4);
  EXPECT_TRUE(std::isnan(noised[0]));
  EXPECT_EQ(noised[1], INFINITY);
  EXPECT_EQ(noised[2], -INFINITY);
  EXPECT_TRUE(std::isfinite(noised[3]));
}

TEST_P(NoiseTest, IsTheCpusBits) {
  const StreamKey stream = stream_of(36);
  std::vector<float> sum(10'007, 0.1f), cpu(sum.size());
  add_gaussian(Exec::cpu(1), stream, 0.7, {sum.data(), 10'007}, {cpu.data(), 10'007});
  const auto got = run(stream, 0.7, sum, 10'007);
  EXPECT_EQ(std::memcmp(got.data(), cpu.data(), cpu.size() * 4), 0);
}

INSTANTIATE_TEST_SUITE_P(, NoiseTest,
                         testing::Combine(testing::Values(Backend::cpu, Backend::cuda), testing::ValuesIn(kGenerators)),
                         [](const auto& info) {
                           return cat(std::get<0>(info.param) == Backend::cpu ? "Cpu" : "Cuda",
                                      name_of(std::get<1>(info.param)));
                         });

TEST(NoiseContract, ThreadsNeverShow) {
  for (const Generator generator : kGenerators) {
    const StreamKey stream = noise_stream(37, 0, 0, generator);
    for (const int64_t size : {1, 1024, 8193, 70'001}) {
      std::vector<float> sum(static_cast<size_t>(size), 3.0f), one(sum), many(sum);
      add_gaussian(Exec::cpu(1), stream, 1.0, {sum.data(), size}, {one.data(), size});
      for (const int threads : {2, 3, 7, 16}) {
        add_gaussian(Exec::cpu(threads), stream, 1.0, {sum.data(), size}, {many.data(), size});
        ASSERT_EQ(std::memcmp(one.data(), many.data(), one.size() * 4), 0) << threads << " threads, " << size;
      }
    }
  }
}

TEST(NoiseContract, WorksInPlaceAndWritesNothingElse) {
  const StreamKey stream = noise_stream(38);
  for (const int64_t size : {0, 1, 7, 8, 9, 130, 1025, 5000}) {
    std::vector<float> guarded(static_cast<size_t>(size) + 64, -77.0f), apart(static_cast<size_t>(size));
    const std::vector<float> sum(static_cast<size_t>(size), -77.0f);
    add_gaussian(Exec::cpu(2), stream, 1.0, {sum.data(), size}, {apart.data(), size});
    add_gaussian(Exec::cpu(2), stream, 1.0, {guarded.data() + 32, size}, {guarded.data() + 32, size});
    EXPECT_TRUE(std::equal(apart.begin(), apart.end(), guarded.begin() + 32)) << size;
    for (int64_t i = 0; i < 32; ++i) {
      ASSERT_EQ(guarded[i], -77.0f) << size;
      ASSERT_EQ(guarded[32 + size + i], -77.0f) << size;
    }
  }
}

TEST(NoiseContract, StandardDeviationRoundsUp) {
  for (const double stddev : {0.7, 0.1, 1.0, 3.0000001, 1e-20, 123456.789}) {
    const double used = plan_noise(noise_stream(1), stddev, 0, 8).stddev;
    EXPECT_GE(used, stddev);
    EXPECT_LE(used, stddev * (1 + 0x1p-23));  // by at most an ulp
  }
}

std::string refusal(double stddev, int64_t first, int64_t size, int64_t sum_size, Generator generator) {
  float x[16] = {};
  try {
    add_gaussian(Exec::cpu(1), noise_stream(1, 0, 0, generator), stddev, {x, sum_size}, {x, size}, first);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
    return error.what();
  }
  return "accepted";
}

TEST(NoiseContract, NamesWhatIsWrong) {
  struct Row {
    double stddev;
    int64_t first, size, sum_size;
    std::string message;
    Generator generator = Generator::chacha20;
  };
  const Row rows[] = {
      {0, 0, 8, 8, "positive and finite in float32, got 0"},
      {-1.5, 0, 8, 8, "got -1.5"},
      {NAN, 0, 8, 8, "got nan"},
      {INFINITY, 0, 8, 8, "got inf"},
      {1e39, 0, 8, 8, "got 1e+39"},
      {1, 4, 8, 8, "a multiple of 8 of the whole tensor, got position 4"},
      {1, -8, 8, 8, "got position -8"},
      {1, int64_t{8} << 32, 1, 1, "a stream has 2^35 normals, got 1 elements from position 34359738368"},
      // past it Philox's counter of 32 bits would start again, and with it the noise
      {1, int64_t{8} << 30, 1, 1, "a stream has 2^33 normals, got 1 elements from position 8589934592",
       Generator::philox},
      {1, 0, 8, 7, "out has 8 entries for a sum of 7"},
  };
  for (const Row& row : rows) {
    const std::string message = refusal(row.stddev, row.first, row.size, row.sum_size, row.generator);
    EXPECT_NE(message.find(row.message), std::string::npos) << row.message << " in: " << message;
  }
}

TEST(NoiseTruncation, OfAPairIsWhatTheUniformsCutOff) {
  EXPECT_NEAR(kGaussianCut, std::sqrt(128 * std::log(2.0)), 1e-8);
  EXPECT_LE(kGaussianCut, std::sqrt(128 * std::log(2.0)));
  EXPECT_NEAR(gaussian_tail_probability() / std::exp(-kGaussianCut * kGaussianCut / 2), 1, 1e-6);
  EXPECT_GT(gaussian_tail_probability(), std::erfc(kGaussianCut / std::sqrt(2.0)));  // of one normal
}

TEST(NoiseTruncation, CoversTheWholeShiftInOnePairOrSpreadOverAll) {
  const double cut = kGaussianCut;
  for (const double noise_multiplier : {0.5, 0.7, 1.0, 3.0, 20.0})
    for (const int64_t elements : {2, 1000, 1'000'000'000}) {
      const double n = double(elements) / 2, shift = 1 / noise_multiplier, each = shift / std::sqrt(n);
      const double in_one = (n - 1) * 0x1p-64 + std::exp(-(cut - shift) * (cut - shift) / 2);
      const double spread = n * std::exp(-(cut - each) * (cut - each) / 2);
      const double bound = gaussian_truncation_delta(elements, 10, noise_multiplier);
      EXPECT_GE(bound, 10 * in_one) << noise_multiplier << " " << elements;
      EXPECT_GE(bound, 10 * spread) << noise_multiplier << " " << elements;
    }
}

TEST(NoiseTruncation, IsNegligibleForRealModels) {
  EXPECT_LT(gaussian_truncation_delta(1'000'000'000, 10'000, 1.0), 1e-6);
  EXPECT_LT(gaussian_truncation_delta(100'000, 1'000, 0.7), 1e-9);
  EXPECT_EQ(gaussian_truncation_delta(10, 10, 0.1), 1.0);  // a shift past the cut: nothing is promised
  EXPECT_EQ(gaussian_truncation_delta(0, 10, 1.0), 0.0);
  EXPECT_THROW(gaussian_truncation_delta(10, 10, 0.0), Error);
}

}  // namespace
}  // namespace sotto::kernels
