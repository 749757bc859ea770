#include "base/error.h"
#include "kernels/clip/clip.h"
#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/ghost_norms/ghost_norms.h"
#include "kernels/outer_norms/outer_norms.h"
#include "kernels/rounding.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

// Weight and bias as one p x (d + 1) matrix, as gradient_of gives them.
using Sum = std::vector<float>;

class ClippedOuterTest : public BackendTest {
 protected:
  Sum run(const Shape& shape, const std::vector<float>& a, const std::vector<float>& g,
          const std::vector<float>& factors, Sum before = {}, int threads = 1) {
    const int64_t rows = shape.samples * shape.length;
    before.resize(static_cast<size_t>(shape.p * (shape.d + 1)));
    std::vector<float> weight, bias;
    for (size_t k = 0; k < before.size(); ++k)
      (int64_t(k) % (shape.d + 1) == shape.d ? bias : weight).push_back(before[k]);
    Guarded<float> a_in(a, on_cuda()), g_in(g, on_cuda()), f_in(factors, on_cuda());
    Guarded<float> weight_sum(weight, on_cuda()), bias_sum(bias, on_cuda());
    accumulate_clipped_outer(exec(threads), {g_in.data(), rows, shape.p}, {a_in.data(), rows, shape.d},
                             {f_in.data(), shape.samples}, shape.length, {weight_sum.data(), shape.p, shape.d},
                             bias_sum.view());
    weight = weight_sum.read(), bias = bias_sum.read();
    for (int64_t i = 0; i < shape.p; ++i) {
      std::copy_n(weight.begin() + i * shape.d, shape.d, before.begin() + i * (shape.d + 1));
      before[i * (shape.d + 1) + shape.d] = bias[i];
    }
    return before;
  }

  std::vector<float> factors_for(const Shape& shape, const std::vector<float>& a, const std::vector<float>& g,
                                 double clip_norm) {
    const int64_t rows = shape.samples * shape.length;
    std::vector<double> squared(shape.samples);
    std::vector<float> factors(shape.samples);
    const MatrixView<const float> a_view{a.data(), rows, shape.d}, g_view{g.data(), rows, shape.p};
    if (shape.length == 1) {
      accumulate_outer_norms(Exec::cpu(1), a_view, g_view, true, {squared.data(), shape.samples});
    } else {
      accumulate_ghost_norms(Exec::cpu(1), a_view, g_view, shape.length, true, {squared.data(), shape.samples});
    }
    clip_factors(Exec::cpu(1), {squared.data(), shape.samples}, {}, clip_norm, {factors.data(), shape.samples});
    return factors;
  }
};

struct Truth {
  std::vector<long double> sum;
  long double norms = 0;   // Σ max(‖c_i‖, C)
  long double masses = 0;  // Σ f_i m_i
};

Truth truth_of(const Shape& shape, const std::vector<float>& a, const std::vector<float>& g,
               const std::vector<float>& factors, double clip_norm) {
  Truth truth{std::vector<long double>(static_cast<size_t>(shape.p * (shape.d + 1)), 0.0L)};
  for (int64_t i = 0; i < shape.samples; ++i) {
    if (factors[i] == 0) continue;
    auto gradient = gradient_of(shape, a, g, i, true);
    truth.norms += std::max<long double>(factors[i] * std::sqrt(square_of(gradient)), clip_norm);
    truth.masses += factors[i] * mass_of_sample(shape, a, g, i, true);
    for (size_t k = 0; k < gradient.size(); ++k) truth.sum[k] += factors[i] * gradient[k];
  }
  return truth;
}

long double distance(const Sum& got, const std::vector<long double>& truth) {
  long double sum = 0;
  for (size_t k = 0; k < got.size(); ++k) sum += (got[k] - truth[k]) * (got[k] - truth[k]);
  return std::sqrt(sum);
}

// What the header promises of one call: the slack for the sum, and for a sample of several rows the spare of its norm.
long double allowed(const Shape& shape, const Truth& truth) {
  return clipped_outer_slack(shape.samples, shape.length, 1) * truth.norms +
         (shape.length > 1 ? kSampleRounding * truth.masses : 0.0L);
}

TEST_P(ClippedOuterTest, IsTheSumOfTheScaledOuterProductsWithinItsSlack) {
  for (const Shape& shape : kShapes) {
    const int64_t rows = shape.samples * shape.length;
    const auto a = normal_values(rows * shape.d, 1), g = normal_values(rows * shape.p, 2);
    const auto factors = factors_for(shape, a, g, 0.7);
    const Truth truth = truth_of(shape, a, g, factors, 0.7);
    EXPECT_LE(distance(run(shape, a, g, factors), truth.sum), allowed(shape, truth))
        << shape.samples << " samples of " << shape.length << ", " << shape.p << "x" << shape.d;
  }
}

TEST_P(ClippedOuterTest, SlackHoldsForAdversarialSamples) {
  std::mt19937_64 rng(17);
  for (int round = 0; round < 1500; ++round) {
    const Shape shape{1 + int64_t(rng() % 100), round % 2 ? 1 : 1 + int64_t(rng() % 5), int64_t(rng() % 40),
                      1 + int64_t(rng() % 34)};
    const int64_t rows = shape.samples * shape.length;
    const auto a = adversarial_values(rows, shape.d, rng), g = adversarial_values(rows, shape.p, rng);
    const double clip_norm = std::ldexp(1.0, int(rng() % 100) - 50);
    const auto factors = factors_for(shape, a, g, clip_norm);
    const Truth truth = truth_of(shape, a, g, factors, clip_norm);
    ASSERT_LE(distance(run(shape, a, g, factors), truth.sum), allowed(shape, truth))
        << "round " << round << ": " << shape.samples << " samples of " << shape.length << ", " << shape.p << "x"
        << shape.d << ", clip norm " << clip_norm;
  }
}

TEST_P(ClippedOuterTest, AddingASampleMovesTheSumByClipNormAndTheSlackAtMost) {
  std::mt19937_64 rng(19);
  for (int round = 0; round < 500; ++round) {
    Shape shape{2 + int64_t(rng() % 90), round % 2 ? 1 : 2 + int64_t(rng() % 4), 1 + int64_t(rng() % 20),
                1 + int64_t(rng() % 20)};
    const int64_t rows = shape.samples * shape.length;
    const auto a = adversarial_values(rows, shape.d, rng), g = adversarial_values(rows, shape.p, rng);
    auto factors = factors_for(shape, a, g, 1.0);
    const Sum with = run(shape, a, g, factors);
    factors[rng() % shape.samples] = 0;
    const Sum without = run(shape, a, g, factors);
    const std::vector<long double> reference(without.begin(), without.end());
    const double slack = clipped_outer_slack(shape.samples, shape.length, 1) * double(shape.samples);
    ASSERT_LE(distance(with, reference), 1 + 2 * slack) << "round " << round;
  }
}

TEST_P(ClippedOuterTest, SampleOfSeveralRowsIsNotRoundedBeyondClipNorm) {
  // g alternates exactly and a nearly not at all: the true gradient is tiny, and what floats make of it is mostly
  // error.
  std::mt19937_64 rng(29);
  std::normal_distribution<float> normal;
  for (int round = 0; round < 200; ++round) {
    const Shape shape{1, 2 * (1 + int64_t(rng() % 40)), 1 + int64_t(rng() % 20), 1 + int64_t(rng() % 20)};
    auto a = normal_values(shape.length * shape.d, rng()), g = normal_values(shape.length * shape.p, rng());
    const float tiny = std::ldexp(1.0f, -int(rng() % 30));
    for (int64_t t = 1; t < shape.length; t += 2) {
      for (int64_t j = 0; j < shape.d; ++j) a[t * shape.d + j] = a[(t - 1) * shape.d + j] * (1 + tiny * normal(rng));
      for (int64_t i = 0; i < shape.p; ++i) g[t * shape.p + i] = -g[(t - 1) * shape.p + i];
    }
    const Sum got = run(shape, a, g, factors_for(shape, a, g, 1e-3));
    ASSERT_LE(std::sqrt(square_of(got)), 1e-3L * (1 + clipped_outer_slack(1, shape.length, 1))) << "round " << round;
  }
}

TEST_P(ClippedOuterTest, HugeActivationsBesideTinyGradientsKeepTheirProduct) {
  const Shape shape{3, 1, 20, 16};
  auto a = normal_values(3 * 20, 1, 1e36f), g = normal_values(3 * 16, 2, 1e-38f);
  const auto factors = factors_for(shape, a, g, 1e-9);  // f·g is denormal
  const Truth truth = truth_of(shape, a, g, factors, 1e-9);
  EXPECT_LE(distance(run(shape, a, g, factors), truth.sum), allowed(shape, truth));
}

TEST_P(ClippedOuterTest, AddsToWhatIsThereSoThatMicroBatchesSumUp) {
  const Shape whole{96, 1, 33, 17}, half{48, 1, 33, 17};
  const auto a = normal_values(96 * 33, 1), g = normal_values(96 * 17, 2);
  const auto factors = factors_for(whole, a, g, 1.0);
  const Truth truth = truth_of(whole, a, g, factors, 1.0);
  Sum sum = run(half, {a.begin(), a.begin() + 48 * 33}, {g.begin(), g.begin() + 48 * 17},
                {factors.begin(), factors.begin() + 48});
  sum = run(half, {a.begin() + 48 * 33, a.end()}, {g.begin() + 48 * 17, g.end()}, {factors.begin() + 48, factors.end()},
            sum);
  EXPECT_LE(distance(sum, truth.sum), clipped_outer_slack(96, 1, 2) * truth.norms);
}

TEST_P(ClippedOuterTest, DroppedSampleLeavesNoTrace) {
  for (const Shape& shape : {Shape{5, 1, 40, 20}, Shape{5, 3, 40, 20}}) {
    const int64_t rows = shape.samples * shape.length;
    auto a = normal_values(rows * shape.d, 3), g = normal_values(rows * shape.p, 4);
    std::vector<float> factors = {1, 0, 0.5f, 0, 1};
    const Sum clean = run(shape, a, g, factors);
    for (int64_t j = 0; j < shape.d; ++j) a[1 * shape.length * shape.d + j] = NAN;
    g[3 * shape.length * shape.p] = INFINITY;
    EXPECT_EQ(run(shape, a, g, factors), clean);
    EXPECT_EQ(run(shape, a, g, {0, 0, 0, 0, 0}), Sum(clean.size(), 0.0f));
  }
}

TEST_P(ClippedOuterTest, DoesNotDependOnTheNumberOfThreads) {
  for (const Shape& shape : {Shape{1024, 1, 120, 256}, Shape{600, 1, 256, 30}, Shape{8, 128, 96, 128}}) {
    const int64_t rows = shape.samples * shape.length;
    const auto a = normal_values(rows * shape.d, 5), g = normal_values(rows * shape.p, 6);
    const std::vector<float> factors = normal_values(shape.samples, 7);
    const Sum one = run(shape, a, g, factors);
    for (int threads : {2, 3}) EXPECT_EQ(run(shape, a, g, factors, {}, threads), one);
  }
}

SOTTO_ON_EACH_BACKEND(ClippedOuterTest);

TEST(ClippedOuter, SlackOfALargeBatchIsASmallPartOfTheSensitivity) {
  EXPECT_LE(clipped_outer_slack(4096, 1, 1) * 4096, 0.02);
  EXPECT_LE(clipped_outer_slack(4096, 128, 1) * 4096, 0.02);
  EXPECT_LE(clipped_rows_slack(4096, 16) * 4096, 0.005);
  EXPECT_LE(clipped_embedding_slack(4096, 16) * 4096, 0.005);
}

TEST(ClippedOuter, MayLeaveTheBiasOut) {
  const auto a = normal_values(4 * 3, 1), g = normal_values(4 * 2, 2);
  const std::vector<float> factors(4, 1.0f);
  float weight[6] = {};
  accumulate_clipped_outer(Exec::cpu(1), {g.data(), 4, 2}, {a.data(), 4, 3}, {factors.data(), 4}, 1, {weight, 2, 3},
                           {nullptr, 0});
  double expected = 0;
  for (int r = 0; r < 4; ++r) expected += double(g[r * 2]) * a[r * 3];
  EXPECT_NEAR(weight[0], expected, 1e-6);
}

TEST(ClippedOuter, RefusesSizesThatDoNotMatch) {
  float x[64] = {};
  const Exec cpu = Exec::cpu(1);
  EXPECT_THROW(accumulate_clipped_outer(cpu, {x, 4, 2}, {x, 3, 3}, {x, 4}, 1, {x, 2, 3}, {nullptr, 0}), Error);
  EXPECT_THROW(accumulate_clipped_outer(cpu, {x, 4, 2}, {x, 4, 3}, {x, 4}, 2, {x, 2, 3}, {nullptr, 0}), Error);
  EXPECT_THROW(accumulate_clipped_outer(cpu, {x, 4, 2}, {x, 4, 3}, {x, 4}, 1, {x, 3, 2}, {nullptr, 0}), Error);
  EXPECT_THROW(accumulate_clipped_outer(cpu, {x, 4, 2}, {x, 4, 3}, {x, 4}, 1, {x, 2, 3}, {x, 3}), Error);
  EXPECT_THROW(accumulate_clipped_outer(cpu, {x, 4, 2}, {x, 4, 3}, {x, 4}, 0, {x, 2, 3}, {nullptr, 0}), Error);
}

}  // namespace
}  // namespace sotto::kernels
