#include "kernels/ghost_norms/ghost_norms.h"

#include "base/error.h"
#include "kernels/rounding.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

struct Way {
  const char* name;
  SequenceNorms accumulate;
};
constexpr Way kWays[] = {{"ghost", accumulate_ghost_norms}, {"direct", accumulate_direct_norms}};

class GhostNormsTest : public BackendTest {
 protected:
  std::vector<double> run(SequenceNorms accumulate, const Shape& shape, const std::vector<float>& a,
                          const std::vector<float>& g, bool bias, double before = 0, int threads = 1) {
    const int64_t rows = shape.samples * shape.length;
    Guarded<float> a_in(a, on_cuda()), g_in(g, on_cuda());
    Guarded<double> out(std::vector<double>(shape.samples, before), on_cuda());
    accumulate(exec(threads), {a_in.data(), rows, shape.d}, {g_in.data(), rows, shape.p}, shape.length, bias,
               out.view());
    return out.read();
  }
};

TEST_P(GhostNormsTest, BothWaysGiveTheNormOfTheSummedOuterProducts) {
  for (const Way& way : kWays)
    for (const Shape& shape : kShapes)
      for (bool bias : {false, true}) {
        const int64_t rows = shape.samples * shape.length;
        const auto a = normal_values(rows * shape.d, 1), g = normal_values(rows * shape.p, 2);
        const auto got = run(way.accumulate, shape, a, g, bias, 3.0);
        for (int64_t i = 0; i < shape.samples; ++i) {
          const long double truth = std::sqrt(square_of(gradient_of(shape, a, g, i, bias)));
          const long double spare = kSampleRounding * mass_of_sample(shape, a, g, i, bias);
          EXPECT_GE(got[i], 3.0L + truth * truth) << way.name << " T=" << shape.length;
          // The promised spare, and a thousandth of the square: the worst error term that does not take the direct way.
          EXPECT_LE(got[i], 3.0L * (1 + 1e-15L) + (truth + spare) * (truth + spare) * 1.001001L)
              << way.name << " T=" << shape.length;
        }
      }
}

TEST_P(GhostNormsTest, AlternatingSignsDoNotCancelIntoASmallerNorm) {
  // fp32 Gram sums gave 53,952 for a true 56,982 here, and a negative number for others.
  const Shape shape{4, 128, 128, 128};
  std::vector<float> a(shape.samples * 128 * 128), g(a.size());
  std::mt19937_64 rng(5);
  std::normal_distribution<float> normal;
  for (int64_t r = 0; r < shape.samples * 128; ++r)
    for (int64_t j = 0; j < 128; ++j) {
      const float tiny = r < 256 ? 1e-2f : 1e-4f;  // the last two samples cancel further
      a[r * 128 + j] = 1 + tiny * normal(rng);
      g[r * 128 + j] = (r % 2 ? -1.0f : 1.0f) * (1 + tiny * normal(rng));
    }
  for (const Way& way : kWays) {
    const auto got = run(way.accumulate, shape, a, g, false);
    for (int64_t i = 0; i < shape.samples; ++i) {
      const long double truth = std::sqrt(square_of(gradient_of(shape, a, g, i, false)));
      const long double spare = kSampleRounding * mass_of_sample(shape, a, g, i, false);
      EXPECT_GE(got[i], truth * truth) << way.name << " sample " << i;
      EXPECT_LE(got[i], (truth + spare) * (truth + spare) * 1.001001L) << way.name << " sample " << i;
    }
  }
}

TEST_P(GhostNormsTest, NeverFallBelowTheTruthOnAdversarialSamples) {
  std::mt19937_64 rng(11);
  for (int round = 0; round < 3000; ++round) {
    const Shape shape{1, 1 + int64_t(rng() % 12), int64_t(rng() % 40), 1 + int64_t(rng() % 20)};
    const auto a = adversarial_values(shape.length, shape.d, rng), g = adversarial_values(shape.length, shape.p, rng);
    const bool bias = rng() % 2;
    const long double truth = std::sqrt(square_of(gradient_of(shape, a, g, 0, bias)));
    const long double spare = kSampleRounding * mass_of_sample(shape, a, g, 0, bias);
    for (const Way& way : kWays) {
      const double got = run(way.accumulate, shape, a, g, bias)[0];
      ASSERT_GE(got, truth * truth) << way.name << " round " << round;
      ASSERT_LE(got, (truth + spare) * (truth + spare) * 1.001001L) << way.name << " round " << round;
    }
  }
}

TEST_P(GhostNormsTest, LongDotProductsThatAllRoundDownStayCovered) {
  // Past a partial sum of 256, each square of this value loses 0.45 ulp: 1.2e-5 in all, more than the promised spare.
  const int64_t n = 32768;
  const float value = 1 + 0.45f * 0x1p-16f;
  const std::vector<float> x(2 * n, value);
  const long double truth = 4 * std::pow(n * static_cast<long double>(value) * value, 2.0L);
  EXPECT_GE(run(accumulate_ghost_norms, {1, 2, n, n}, x, x, false)[0], truth);
}

TEST_P(GhostNormsTest, SquaresThatUnderflowInFloatStayCovered) {
  const float tiny = 1.02e-22f;  // its square is 7.4 times the smallest float, which rounds to 7
  const long double truth = 4 * static_cast<long double>(tiny) * tiny;
  for (const Way& way : kWays) EXPECT_GE(run(way.accumulate, {1, 2, 1, 1}, {tiny, tiny}, {1, 1}, false)[0], truth);
}

TEST_P(GhostNormsTest, ZeroRowsChangeNothing) {  // how a ragged sample is padded
  const Shape longer{2, 11, 19, 8}, shorter{2, 7, 19, 8};
  auto a = normal_values(2 * 11 * 19, 3), g = normal_values(2 * 11 * 8, 4);
  std::vector<float> short_a, short_g;
  for (int64_t r = 0; r < 22; ++r) {
    if (r % 11 < 7) {
      short_a.insert(short_a.end(), a.begin() + r * 19, a.begin() + (r + 1) * 19);
      short_g.insert(short_g.end(), g.begin() + r * 8, g.begin() + (r + 1) * 8);
    } else {
      std::fill(g.begin() + r * 8, g.begin() + (r + 1) * 8, 0.0f);
    }
  }
  for (const Way& way : kWays) {
    const auto padded = run(way.accumulate, longer, a, g, true),
               exact = run(way.accumulate, shorter, short_a, short_g, true);
    for (int i : {0, 1})
      EXPECT_NEAR(padded[i], exact[i], exact[i] * 1e-4) << way.name << ": error terms differ a little";
  }
}

TEST_P(GhostNormsTest, SampleOfZerosAddsNothing) {
  const Shape shape{1, 6, 5, 4};
  const auto a = normal_values(30, 3);
  for (const Way& way : kWays) EXPECT_EQ(run(way.accumulate, shape, a, std::vector<float>(24), true)[0], 0) << way.name;
}

TEST_P(GhostNormsTest, NonFiniteSampleTouchesItsOwnNormOnly) {
  const Shape shape{5, 6, 21, 10};
  auto a = normal_values(30 * 21, 6), g = normal_values(30 * 10, 7);
  for (const Way& way : kWays) {
    const auto clean = run(way.accumulate, shape, a, g, true);
    auto bad_a = a, bad_g = g;
    bad_a[(1 * 6 + 2) * 21 + 20] = NAN;
    bad_g[(3 * 6 + 5) * 10] = -INFINITY;
    for (int64_t k = 4 * 6 * 10; k < 5 * 6 * 10; ++k) bad_g[k] = 0;
    bad_a[(4 * 6) * 21] = INFINITY;  // 0 · ∞
    const auto got = run(way.accumulate, shape, bad_a, bad_g, true);
    for (int i : {1, 3, 4}) EXPECT_FALSE(std::isfinite(got[i])) << way.name << " sample " << i;
    for (int i : {0, 2}) EXPECT_EQ(got[i], clean[i]) << way.name << " sample " << i;
  }
}

SOTTO_ON_EACH_BACKEND(GhostNormsTest);

TEST(GhostNorms, AreTheSameOnOneThreadAndOnTwo) {
  const int64_t samples = 40, length = 33, d = 70, p = 50, rows = samples * length;
  const auto a = normal_values(rows * d, 8), g = normal_values(rows * p, 9);
  for (const Way& way : kWays) {
    std::vector<double> one(samples), two(samples);
    way.accumulate(Exec::cpu(1), {a.data(), rows, d}, {g.data(), rows, p}, length, true, {one.data(), samples});
    way.accumulate(Exec::cpu(2), {a.data(), rows, d}, {g.data(), rows, p}, length, true, {two.data(), samples});
    EXPECT_EQ(one, two) << way.name;
  }
}

TEST(GhostNorms, RefuseSizesThatDoNotMatch) {
  float x[8] = {};
  double s[4] = {};
  for (const Way& way : kWays) {
    EXPECT_THROW(way.accumulate(Exec::cpu(1), {x, 4, 2}, {x, 4, 1}, 0, false, {s, 4}), Error);
    EXPECT_THROW(way.accumulate(Exec::cpu(1), {x, 4, 2}, {x, 3, 1}, 2, false, {s, 2}), Error);
    EXPECT_THROW(way.accumulate(Exec::cpu(1), {x, 4, 2}, {x, 4, 1}, 3, false, {s, 2}), Error);
  }
}

}  // namespace
}  // namespace sotto::kernels
