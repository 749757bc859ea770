#include "base/error.h"
#include "kernels/clip/clip.h"
#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/ghost_norms/ghost_norms.h"
#include "kernels/rounding.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/bfloat16_values.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

using Values = std::vector<Bfloat16>;
using Accumulate = void (*)(const Exec&, MatrixView<const Bfloat16>, MatrixView<const Bfloat16>, const Segments&, bool,
                            VectorView<double> workspace, VectorView<double> squared);
struct Way {
  const char* name;
  Accumulate accumulate;
};
constexpr Way kWays[] = {{"ghost", accumulate_ragged_ghost_norms}, {"direct", accumulate_ragged_direct_norms}};

// What the square may exceed the truth by, besides the promised spare: twice the worst error that does not take the
// next way. Those of the tensor cores are wider.
constexpr long double kLoose = 1.001001L, kLooseOnTensorCores = 1.0041L;

class Bfloat16SequencesTest : public BackendTest {
 protected:
  std::vector<double> norms(const Way& way, const Shape& shape, const Values& a, const Values& g, bool bias,
                            double before = 0, const std::vector<int64_t>& starts = {}, int threads = 1) {
    const auto rows = static_cast<int64_t>(g.size()) / shape.p;
    Guarded<Bfloat16> a_in(a, on_cuda()), g_in(g, on_cuda());
    Guarded<int64_t> table(starts, on_cuda());
    Guarded<double> out(std::vector<double>(shape.samples, before), on_cuda());
    const Segments segments{shape.samples, shape.length, starts.empty() ? nullptr : table.data()};
    const MatrixView<const Bfloat16> a_view{a_in.data(), rows, shape.d}, g_view{g_in.data(), rows, shape.p};
    const auto room = static_cast<size_t>(sequence_norms_workspace(exec(), a_view, g_view, segments));
    Guarded<double> workspace(std::vector<double>(room, NAN), on_cuda());
    if (on_cuda() && !by_tensor_cores_)
      way.accumulate(exec(), a_view, g_view, segments, bias, {nullptr, 0}, out.view());
    else
      way.accumulate(exec(threads), a_view, g_view, segments, bias, workspace.view(), out.view());
    workspace.read();
    return out.read();
  }

  // p x (d + 1): the bias is the last column, as in gradient_of.
  std::vector<float> sum(const Shape& shape, const Values& a, const Values& g, const std::vector<float>& factors) {
    const int64_t rows = shape.samples * shape.length;
    Guarded<Bfloat16> a_in(a, on_cuda()), g_in(g, on_cuda());
    Guarded<float> f(factors, on_cuda()), weight(std::vector<float>(shape.p * shape.d), on_cuda()),
        bias(std::vector<float>(shape.p), on_cuda());
    accumulate_clipped_outer(exec(), MatrixView<const Bfloat16>{g_in.data(), rows, shape.p},
                             MatrixView<const Bfloat16>{a_in.data(), rows, shape.d}, {f.data(), shape.samples},
                             shape.length, {weight.data(), shape.p, shape.d}, bias.view());
    const auto weights = weight.read(), biases = bias.read();
    std::vector<float> both;
    for (int64_t i = 0; i < shape.p; ++i) {
      both.insert(both.end(), weights.begin() + i * shape.d, weights.begin() + (i + 1) * shape.d);
      both.push_back(biases[i]);
    }
    return both;
  }

  std::vector<float> factors_for(const Shape& shape, const Values& a, const Values& g, double clip_norm) {
    auto squared = norms(kWays[0], shape, a, g, true);
    std::vector<float> factors(shape.samples);
    clip_factors(Exec::cpu(1), {squared.data(), shape.samples}, {}, clip_norm, {factors.data(), shape.samples});
    return factors;
  }

  void expect_between(const Way& way, const Shape& shape, const Values& a, const Values& g, bool bias) {
    for (const bool by_tensor_cores : {true, false}) {
      by_tensor_cores_ = by_tensor_cores;
      expect_each_between(way, shape, a, g, bias);
      if (!on_cuda()) break;
    }
    by_tensor_cores_ = true;
  }

 private:
  void expect_each_between(const Way& way, const Shape& shape, const Values& a, const Values& g, bool bias) {
    const auto a_values = values_of(a), g_values = values_of(g);
    const auto got = norms(way, shape, a, g, bias, 3.0);
    for (int64_t i = 0; i < shape.samples; ++i) {
      const long double truth = std::sqrt(square_of(gradient_of(shape, a_values, g_values, i, bias)));
      const long double spare = kTensorSampleRounding * mass_of_sample(shape, a_values, g_values, i, bias);
      // In doubles, whose own roundings are covered upwards.
      ASSERT_GE(got[i], 3.0L + (truth + spare) * (truth + spare) * (1 - 1e-15L))
          << way.name << " T=" << shape.length << " sample " << i;
      ASSERT_LE(got[i],
                3.0L * (1 + 1e-15L) + (truth + spare) * (truth + spare) * (on_cuda() ? kLooseOnTensorCores : kLoose))
          << way.name << " T=" << shape.length << " sample " << i;
    }
  }
  bool by_tensor_cores_ = true;
};

TEST_P(Bfloat16SequencesTest, NormsCoverTheGradientAndTheSpareOfItsSum) {
  std::vector<Shape> shapes = kShapes;
  shapes.insert(shapes.end(), {{2, 130, 136, 264}, {3, 100, 72, 64}, {1, 64, 65, 63}});
  for (const Way& way : kWays)
    for (const Shape& shape : shapes)
      for (bool bias : {false, true}) {
        const int64_t rows = shape.samples * shape.length;
        expect_between(way, shape, rounded(normal_values(rows * shape.d, 1)), rounded(normal_values(rows * shape.p, 2)),
                       bias);
      }
}

TEST_P(Bfloat16SequencesTest, NormsNeverFallBelowTheTruthOnAdversarialSamples) {
  std::mt19937_64 rng(11);
  for (int round = 0; round < 1500; ++round) {
    const Shape shape{1, 1 + int64_t(rng() % 12), int64_t(rng() % 40), 1 + int64_t(rng() % 20)};
    const auto a = rounded(adversarial_values(shape.length, shape.d, rng)),
               g = rounded(adversarial_values(shape.length, shape.p, rng));
    const bool bias = rng() % 2;
    for (const Way& way : kWays) expect_between(way, shape, a, g, bias);
  }
}

TEST_P(Bfloat16SequencesTest, RowsThatCancelTakeAWayThatSeesWhatIsLeft) {
  // g alternates exactly; a differs from row to row by single units of its 8 bits, or in one column alone.
  const Shape shape{4, 128, 128, 128};
  std::mt19937_64 rng(5);
  std::vector<float> a(shape.samples * 128 * 128), g(a.size());
  for (int64_t r = 0; r < shape.samples * 128; ++r)
    for (int64_t j = 0; j < 128; ++j) {
      a[r * 128 + j] = r < 256 ? 1 + float(rng() % 2) / 128 : (r % 9 == 0 && j == 3 ? 1.25f : 1.0f);
      g[r * 128 + j] = r % 2 ? -1.0f : 1.0f;
    }
  for (const Way& way : kWays) expect_between(way, shape, rounded(a), rounded(g), false);
}

TEST_P(Bfloat16SequencesTest, NonFiniteSampleTouchesItsOwnNormOnly) {
  const Shape shape{5, 6, 21, 10};
  auto a = normal_values(30 * 21, 6), g = normal_values(30 * 10, 7);
  for (const Way& way : kWays) {
    const auto clean = norms(way, shape, rounded(a), rounded(g), true);
    auto bad_a = a, bad_g = g;
    bad_a[(1 * 6 + 2) * 21 + 20] = NAN;
    bad_g[(3 * 6 + 5) * 10] = -INFINITY;
    for (int64_t k = 4 * 6 * 10; k < 5 * 6 * 10; ++k) bad_g[k] = 0;
    bad_a[(4 * 6) * 21] = INFINITY;  // 0 · ∞
    const auto got = norms(way, shape, rounded(bad_a), rounded(bad_g), true);
    for (int i : {1, 3, 4}) EXPECT_FALSE(std::isfinite(got[i])) << way.name << " sample " << i;
    for (int i : {0, 2}) EXPECT_EQ(got[i], clean[i]) << way.name << " sample " << i;
  }
}

TEST_P(Bfloat16SequencesTest, ASampleOfATableHasTheNormThatItHasAlone) {
  const std::vector<int64_t> starts = {0, 7, 7, 8, 78, 83};  // of 7, none, 1, 70 and 5 rows
  const Shape packed{5, 70, 24, 16};
  const auto a = rounded(normal_values(83 * 24, 1)), g = rounded(normal_values(83 * 16, 2));
  for (const Way& way : kWays) {
    const auto got = norms(way, packed, a, g, true, 0, starts);
    for (int64_t i = 0; i < 5; ++i) {
      const int64_t rows = starts[i + 1] - starts[i];
      if (rows == 0) {
        EXPECT_EQ(got[i], 0) << way.name;
        continue;
      }
      const Values own_a(a.begin() + starts[i] * 24, a.begin() + starts[i + 1] * 24),
          own_g(g.begin() + starts[i] * 16, g.begin() + starts[i + 1] * 16);
      EXPECT_EQ(got[i], norms(way, {1, rows, 24, 16}, own_a, own_g, true)[0]) << way.name << " sample " << i;
    }
  }
}

TEST_P(Bfloat16SequencesTest, ClippedSumIsWithinItsSlackAndItsSpare) {
  std::mt19937_64 rng(23);
  std::vector<Shape> shapes = kShapes;
  shapes.push_back({2, 600, 72, 40});  // chains that follow each other
  for (int round = 0; round < 300; ++round)
    shapes.push_back({1 + int64_t(rng() % 40), round % 2 ? 1 : 1 + int64_t(rng() % 5), int64_t(rng() % 40),
                      1 + int64_t(rng() % 34)});
  for (size_t at = 0; at < shapes.size(); ++at) {
    const Shape& shape = shapes[at];
    const int64_t rows = shape.samples * shape.length;
    const bool gentle = at <= kShapes.size();
    const auto a = rounded(gentle ? normal_values(rows * shape.d, 1) : adversarial_values(rows, shape.d, rng)),
               g = rounded(gentle ? normal_values(rows * shape.p, 2) : adversarial_values(rows, shape.p, rng));
    const auto factors = factors_for(shape, a, g, 0.7);
    const auto a_values = values_of(a), g_values = values_of(g);
    std::vector<long double> truth(shape.p * (shape.d + 1), 0.0L);
    long double norms = 0, masses = 0;
    for (int64_t i = 0; i < shape.samples; ++i) {
      if (factors[i] == 0) continue;
      const auto gradient = gradient_of(shape, a_values, g_values, i, true);
      norms += std::max<long double>(factors[i] * std::sqrt(square_of(gradient)), 0.7L);
      masses += factors[i] * mass_of_sample(shape, a_values, g_values, i, true);
      for (size_t k = 0; k < truth.size(); ++k) truth[k] += factors[i] * gradient[k];
    }
    const auto got = sum(shape, a, g, factors);
    long double square = 0;
    for (size_t k = 0; k < truth.size(); ++k) square += (got[k] - truth[k]) * (got[k] - truth[k]);
    const double slack = clipped_outer_slack(shape.samples, shape.length, 1);
    ASSERT_LE(std::sqrt(square), slack * norms + (shape.length > 1 ? kTensorSampleRounding * masses : 0.0L))
        << "case " << at << ": " << shape.samples << " samples of " << shape.length << ", " << shape.p << "x"
        << shape.d;
  }
}

TEST_P(Bfloat16SequencesTest, ASampleAloneAddsAtMostTheClipNorm) {
  std::mt19937_64 rng(29);
  for (int round = 0; round < 200; ++round) {
    const Shape shape{1, 2 * (1 + int64_t(rng() % 40)), 1 + int64_t(rng() % 20), 1 + int64_t(rng() % 20)};
    auto a = normal_values(shape.length * shape.d, rng()), g = normal_values(shape.length * shape.p, rng());
    for (int64_t t = 1; t < shape.length; t += 2) {  // all but a little cancels
      for (int64_t j = 0; j < shape.d; ++j) a[t * shape.d + j] = a[(t - 1) * shape.d + j] * (1 + 1.0f / 64);
      for (int64_t i = 0; i < shape.p; ++i) g[t * shape.p + i] = -g[(t - 1) * shape.p + i];
    }
    const auto a_in = rounded(a), g_in = rounded(g);
    const auto got = sum(shape, a_in, g_in, factors_for(shape, a_in, g_in, 1e-3));
    ASSERT_LE(std::sqrt(square_of(got)), 1e-3L * (1 + clipped_outer_slack(1, shape.length, 1))) << "round " << round;
  }
}

TEST_P(Bfloat16SequencesTest, ADroppedSampleLeavesNoTrace) {
  const Shape shape{3, 4, 9, 5};
  auto a = normal_values(12 * 9, 1), g = normal_values(12 * 5, 2);
  auto without = g;
  for (int64_t k = 4 * 5; k < 8 * 5; ++k) without[k] = 0;
  const auto expected = sum(shape, rounded(a), rounded(without), {1, 1, 0.5f});
  a[4 * 9] = NAN;
  g[7 * 5 + 4] = INFINITY;
  EXPECT_EQ(sum(shape, rounded(a), rounded(g), {1, 0, 0.5f}), expected);
}

SOTTO_ON_EACH_BACKEND(Bfloat16SequencesTest);

TEST(Bfloat16Sequences, OnTheCpuClippedSumsAreThoseOfTheSameFloats) {
  for (const Shape& shape : {Shape{70, 1, 31, 15}, Shape{3, 5, 16, 16}, Shape{2, 65, 300, 47}}) {
    const int64_t rows = shape.samples * shape.length;
    auto wide = normal_values(rows * shape.d, 1);
    wide[0] = 1e30f;  // a row that is scaled
    const auto a = rounded(wide), g = rounded(normal_values(rows * shape.p, 2));
    const auto a_values = values_of(a), g_values = values_of(g), factors = normal_values(shape.samples, 3);
    std::vector<float> narrow_weight(shape.p * shape.d), weight = narrow_weight, narrow_bias(shape.p), bias(shape.p);
    for (int threads : {1, 2}) {
      const Exec exec = Exec::cpu(threads);
      accumulate_clipped_outer(exec, MatrixView<const Bfloat16>{g.data(), rows, shape.p},
                               MatrixView<const Bfloat16>{a.data(), rows, shape.d}, {factors.data(), shape.samples},
                               shape.length, {narrow_weight.data(), shape.p, shape.d}, {narrow_bias.data(), shape.p});
      accumulate_clipped_outer(exec, MatrixView<const float>{g_values.data(), rows, shape.p},
                               MatrixView<const float>{a_values.data(), rows, shape.d}, {factors.data(), shape.samples},
                               shape.length, {weight.data(), shape.p, shape.d}, {bias.data(), shape.p});
      EXPECT_EQ(narrow_weight, weight);
      EXPECT_EQ(narrow_bias, bias);
    }
  }
}

TEST(Bfloat16Sequences, NormsAreTheSameOnOneThreadAndOnTwo) {
  const int64_t samples = 40, length = 33, d = 70, p = 50, rows = samples * length;
  const auto a = rounded(normal_values(rows * d, 8)), g = rounded(normal_values(rows * p, 9));
  for (const Way& way : kWays) {
    std::vector<double> one(samples), two(samples);
    way.accumulate(Exec::cpu(1), {a.data(), rows, d}, {g.data(), rows, p}, {samples, length}, true, {nullptr, 0},
                   {one.data(), samples});
    way.accumulate(Exec::cpu(2), {a.data(), rows, d}, {g.data(), rows, p}, {samples, length}, true, {nullptr, 0},
                   {two.data(), samples});
    EXPECT_EQ(one, two) << way.name;
  }
}

TEST(Bfloat16Sequences, RefuseSizesThatDoNotMatch) {
  Bfloat16 x[8] = {};
  double s[4] = {};
  float f[8] = {};
  const Exec cpu = Exec::cpu(1);
  for (const Way& way : kWays) {
    EXPECT_THROW(way.accumulate(cpu, {x, 4, 2}, {x, 4, 1}, {4, 0}, false, {nullptr, 0}, {s, 4}), Error);
    EXPECT_THROW(way.accumulate(cpu, {x, 4, 2}, {x, 3, 1}, {2, 2}, false, {nullptr, 0}, {s, 2}), Error);
    EXPECT_THROW(way.accumulate(cpu, {x, 4, 2}, {x, 4, 1}, {2, 3}, false, {nullptr, 0}, {s, 2}), Error);
  }
  EXPECT_THROW(accumulate_clipped_outer(cpu, MatrixView<const Bfloat16>{x, 4, 2}, MatrixView<const Bfloat16>{x, 3, 2},
                                        {f, 4}, 1, {f, 2, 2}, {nullptr, 0}),
               Error);
  EXPECT_THROW(accumulate_clipped_outer(cpu, MatrixView<const Bfloat16>{x, 4, 2}, MatrixView<const Bfloat16>{x, 4, 2},
                                        {f, 3}, 1, {f, 2, 2}, {nullptr, 0}),
               Error);
}

}  // namespace
}  // namespace sotto::kernels
