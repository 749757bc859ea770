#include "kernels/bfloat16.h"

#include "base/error.h"
#include "kernels/clip/clip.h"
#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/convolution/convolution_impl.h"
#include "kernels/row_norms/row_norms.h"
#include "kernels/sample_gradients/sample_gradients_impl.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/bfloat16_values.h"
#include "tests/kernels/cases/instruction_sets.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

// The definition, by nearbyint (ties to even) on the grid of 8 bits at x's exponent.
float nearest(float x) {
  if (!std::isfinite(x) || x == 0) return x;
  const double step = std::ldexp(1.0, std::max(std::ilogb(x), -126) - 7), grid = std::nearbyint(double(x) / step) * step;
  return std::fabs(grid) < 0x1p128 ? float(grid) : std::copysign(INFINITY, x);
}

TEST(Bfloat16, IsTheNearestAndOfTwoTheEvenOne) {
  std::mt19937_64 rng(3);
  for (int round = 0; round < 2'000'000; ++round) {
    uint32_t bits = uint32_t(rng());
    if (round % 4 == 0) bits = (bits & 0xffff0000u) | 0x8000;  // a tie
    if (round % 4 == 1) bits = (bits & 0xffff0000u) + 0x8000 + uint32_t(rng() % 3) - 1;
    float x;
    std::memcpy(&x, &bits, sizeof(x));
    const float got = value_of(to_bfloat16(x));
    if (std::isnan(x)) {
      ASSERT_TRUE(std::isnan(got)) << std::hex << bits;
      continue;
    }
    ASSERT_EQ(got, nearest(x)) << std::hex << bits;
    ASSERT_EQ(std::signbit(got), std::signbit(x));
    ASSERT_EQ(to_float(to_bfloat16(x)), got);
    if (std::isfinite(got)) {
      ASSERT_LE(std::fabs(double(got) - double(x)), std::max(kBfloat16Unit * std::fabs(double(x)), 0x1p-134)) << x;
    }
  }
  for (const float edge : {0x1.fep127f, 0x1.feffffp127f, 0x1.ffp127f, 3.4e38f, 0x1p-126f, 0x1p-133f, 0x1p-134f, 1e-45f})
    EXPECT_EQ(value_of(to_bfloat16(edge)), nearest(edge)) << edge;
}

class StoredBfloat16Test : public BackendTest {
 protected:
  std::vector<double> norms(const std::vector<Bfloat16>& x, int64_t samples, int threads = 1) {
    const int64_t columns = samples ? static_cast<int64_t>(x.size()) / samples : 0;
    Guarded<Bfloat16> in(x, on_cuda());
    Guarded<double> out(std::vector<double>(samples), on_cuda());
    accumulate_row_norms(exec(threads), {in.data(), samples, columns}, out.view());
    return out.read();
  }
  std::vector<float> sum(const std::vector<Bfloat16>& x, const std::vector<float>& factors, int64_t columns,
                         int threads = 1) {
    const int64_t samples = static_cast<int64_t>(factors.size());
    Guarded<Bfloat16> in(x, on_cuda());
    Guarded<float> f(factors, on_cuda()), out(std::vector<float>(columns), on_cuda());
    accumulate_clipped_rows(exec(threads), {in.data(), samples, columns}, {f.data(), samples}, out.view());
    return out.read();
  }
};

TEST_P(StoredBfloat16Test, NormsAreThoseOfTheRoundedRowsAndNeverLess) {
  std::mt19937_64 rng(5);
  for (int round = 0; round < 1000; ++round) {
    const int64_t samples = int64_t(rng() % 5), columns = int64_t(rng() % 100);
    const auto x = rounded(adversarial_values(samples, columns, rng));
    const auto values = values_of(x);
    const auto got = norms(x, samples);
    for (int64_t i = 0; i < samples; ++i) {
      const std::vector<float> row(values.begin() + i * columns, values.begin() + (i + 1) * columns);
      const long double truth = square_of(row);
      ASSERT_GE(got[i], truth) << "round " << round;
      ASSERT_LE(got[i], truth * (1 + 1e-12L)) << "the raise is a few ulp a term; round " << round;
    }
  }
}

TEST_P(StoredBfloat16Test, ClippedSumIsTheSumOfTheScaledRoundedRowsWithinItsSlack) {
  std::mt19937_64 rng(29);
  for (int round = 0; round < 300; ++round) {
    const int64_t samples = int64_t(rng() % 70), columns = round < 4 ? 1023 + round : int64_t(rng() % 60);
    const auto x = rounded(adversarial_values(samples, columns, rng));
    const auto values = values_of(x);
    auto squared = norms(x, samples);
    std::vector<float> factors(samples);
    clip_factors(Exec::cpu(1), {squared.data(), samples}, {}, 1.0, {factors.data(), samples});
    const auto got = sum(x, factors, columns);
    long double error = 0;
    for (int64_t j = 0; j < columns; ++j) {
      long double truth = 0;
      for (int64_t i = 0; i < samples; ++i) truth += static_cast<long double>(factors[i]) * values[i * columns + j];
      error += (got[j] - truth) * (got[j] - truth);
    }
    ASSERT_LE(std::sqrt(error), clipped_rows_slack(samples, 1) * double(samples)) << "round " << round;
  }
}

// What is added of a sample is what was measured: alone and scaled, it is within the clip norm.
TEST_P(StoredBfloat16Test, ASampleAloneAddsAtMostTheClipNorm) {
  std::mt19937_64 rng(31);
  for (int round = 0; round < 500; ++round) {
    const int64_t columns = 1 + int64_t(rng() % 300);
    const auto x = rounded(adversarial_values(1, columns, rng));
    auto squared = norms(x, 1);
    std::vector<float> factor(1);
    clip_factors(Exec::cpu(1), {squared.data(), 1}, {}, 0.25, {factor.data(), 1});
    ASSERT_LE(std::sqrt(square_of(sum(x, factor, columns))), 0.25L * (1 + clipped_rows_slack(1, 1))) << "round " << round;
  }
}

TEST_P(StoredBfloat16Test, ARowThatIsNotFiniteOrRoundsToInfinityIsDroppedAndLeavesNoTrace) {
  for (const float bad : {NAN, INFINITY, 3.4e38f}) {
    auto values = normal_values(3 * 37, 1);
    const auto clean = norms(rounded(values), 3);
    values[1 * 37 + 36] = bad;
    const auto x = rounded(values);
    const auto squared = norms(x, 3);
    EXPECT_FALSE(std::isfinite(squared[1])) << bad;
    for (const int i : {0, 2}) EXPECT_EQ(squared[i], clean[i]);
    const auto got = sum(x, {1, 0, 0.5f}, 37);
    for (int64_t j = 0; j < 37; ++j) EXPECT_EQ(got[j], float(double(value_of(x[j])) + 0.5 * double(value_of(x[74 + j]))));
  }
}

TEST_P(StoredBfloat16Test, IsTheSameTwiceAndOnAnyNumberOfThreads) {
  const auto x = rounded(normal_values(37 * 20011, 1));
  const auto factors = normal_values(37, 2);
  const auto norm = norms(x, 37);
  const auto total = sum(x, factors, 20011);
  for (const int threads : {1, 2, 7}) {
    EXPECT_EQ(norms(x, 37, threads), norm);
    EXPECT_EQ(sum(x, factors, 20011, threads), total);
  }
}

// Sums of floats as without rounding, and each rounded once.
TEST_P(StoredBfloat16Test, ConvolutionGradientsAreTheRoundedOnes) {
  const ConvolutionShape shapes[] = {{3, 3, 20, 1, {1, 6, 7}, {1, 6, 7}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}},
                                     {2, 9, 9, 9, {1, 6, 32}, {1, 6, 32}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}},
                                     {2, 6, 9, 3, {1, 7, 5}, {1, 5, 3}, {1, 3, 3}},
                                     {0, 3, 5, 1, {1, 6, 7}, {1, 4, 5}, {1, 3, 3}},
                                     {2, 3, 5, 1, {1, 2, 7}, {1, 0, 5}, {1, 3, 3}}};
  for (const ConvolutionShape& s : shapes) {
    Guarded<float> x(normal_values(s.samples * s.in_channels * s.places(), 1), on_cuda());
    Guarded<float> g(normal_values(s.samples * s.out_channels * s.positions(), 2), on_cuda());
    const int64_t elements = s.samples * s.elements(), channels = s.samples * s.out_channels;
    Guarded<float> rows(std::vector<float>(elements, NAN), on_cuda()), bias(std::vector<float>(channels), on_cuda());
    Guarded<float> other_bias(std::vector<float>(channels), on_cuda());
    Guarded<Bfloat16> stored(std::vector<Bfloat16>(elements, to_bfloat16(NAN)), on_cuda());
    convolution_gradients(exec(), s, x.data(), g.data(), {rows.data(), s.samples, s.elements()},
                          {bias.data(), s.samples, s.out_channels});
    convolution_gradients(exec(2), s, x.data(), g.data(), {stored.data(), s.samples, s.elements()},
                          {other_bias.data(), s.samples, s.out_channels});
    const auto exact = rows.read(), got = values_of(stored.read());
    for (size_t k = 0; k < exact.size(); ++k) ASSERT_EQ(got[k], nearest(exact[k])) << k;
    EXPECT_EQ(bias.read(), other_bias.read());
  }
  std::vector<Bfloat16> few(3);
  EXPECT_THROW(convolution_gradients(exec(), shapes[0], nullptr, nullptr, {few.data(), 3, 1}, {nullptr, 0, 0}), Error);
}

SOTTO_ON_EACH_BACKEND(StoredBfloat16Test);

TEST(StoredBfloat16, GradientsOfAMatrixAreTheRoundedOnesOnEveryInstructionSet) {
  std::vector<Shape> shapes = kShapes;
  shapes.push_back({3, 200, 130, 101});  // chains that follow each other, blocks of rows
  for (const Shape& shape : shapes)
    for (const InstructionSet set : sets_of_this_machine()) {
      const int64_t elements = shape.p * shape.d, rows = shape.samples * shape.length;
      const auto a = normal_values(rows * shape.d, 1), g = normal_values(rows * shape.p, 2);
      const MatrixView<const float> activations{a.data(), rows, shape.d}, gradients{g.data(), rows, shape.p};
      std::vector<float> exact(shape.samples * elements);
      sample_gradients_cpu(Exec::cpu(1), activations, gradients, shape.length, {exact.data(), shape.samples, elements}, set);
      for (const int threads : {1, 3}) {
        Guarded<Bfloat16> out(std::vector<Bfloat16>(exact.size(), to_bfloat16(NAN)), false);
        sample_gradients_cpu(Exec::cpu(threads), activations, gradients, shape.length,
                             MatrixView<Bfloat16>{out.data(), shape.samples, elements}, set);
        const auto got = values_of(out.read());
        for (size_t k = 0; k < exact.size(); ++k) ASSERT_EQ(got[k], nearest(exact[k])) << name_of(set) << " " << k;
      }
    }
  float x[8] = {};
  Bfloat16 rows[8] = {};
  EXPECT_THROW(sample_gradients(Exec::cpu(1), {x, 4, 2}, {x, 4, 1}, 2, MatrixView<Bfloat16>{rows, 2, 3}), Error);
  EXPECT_THROW(sample_gradients(Exec::cuda(nullptr), {x, 4, 2}, {x, 4, 1}, 2, MatrixView<Bfloat16>{rows, 2, 2}), Error);
}

TEST(StoredBfloat16, RefuseSizesThatDoNotMatch) {
  Bfloat16 x[4] = {};
  float f[4] = {};
  double s[4] = {};
  EXPECT_THROW(accumulate_row_norms(Exec::cpu(1), MatrixView<const Bfloat16>{x, 2, 2}, {s, 3}), Error);
  EXPECT_THROW(accumulate_clipped_rows(Exec::cpu(1), MatrixView<const Bfloat16>{x, 2, 2}, {f, 3}, {f, 2}), Error);
  EXPECT_THROW(accumulate_clipped_rows(Exec::cpu(1), MatrixView<const Bfloat16>{x, 2, 2}, {f, 2}, {f, 3}), Error);
}

}  // namespace
}  // namespace sotto::kernels
