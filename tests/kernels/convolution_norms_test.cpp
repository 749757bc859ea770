#include "kernels/convolution_norms/convolution_norms.h"

#include "base/error.h"
#include "kernels/convolution_norms/convolution_norms_impl.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/instruction_sets.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

struct Named {
  const char* name;
  ConvolutionShape shape;
};

const Named kCases[] = {
    {"one of everything", {1, 1, 1, 1, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}}},
    {"3x3", {3, 3, 5, 1, {1, 6, 7}, {1, 4, 5}, {1, 3, 3}}},
    {"3x3, padded", {3, 3, 5, 1, {1, 6, 7}, {1, 6, 7}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}},
    {"1x1 of 70 to 50 channels", {2, 70, 50, 1, {1, 5, 5}, {1, 5, 5}, {1, 1, 1}}},
    {"3x3 of whole vectors, 130 to 33 channels", {2, 130, 33, 1, {1, 8, 8}, {1, 8, 8}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}},
    {"5x2, dilated", {2, 4, 6, 1, {1, 11, 13}, {1, 9, 20}, {1, 4, 2}, {1, 1, 1}, {0, 2, 5}, {1, 2, 3}}},
    {"7x7 of one channel", {2, 1, 9, 1, {1, 12, 12}, {1, 12, 12}, {1, 7, 7}, {1, 1, 1}, {0, 3, 3}}},
    {"more padding than input", {2, 2, 3, 1, {1, 2, 1}, {1, 7, 8}, {1, 2, 2}, {1, 1, 1}, {0, 3, 4}}},
    {"taps that meet nothing but padding", {2, 2, 3, 1, {1, 1, 1}, {1, 1, 1}, {1, 5, 5}, {1, 1, 1}, {0, 2, 2}}},
    {"fewer outputs than fit", {2, 2, 3, 1, {1, 9, 9}, {1, 3, 2}, {1, 2, 2}}},
    {"padding on one side alone", {2, 2, 3, 1, {1, 5, 5}, {1, 6, 6}, {1, 4, 4}, {1, 1, 1}, {0, 2, 2}}},
    {"groups", {3, 6, 9, 3, {1, 7, 5}, {1, 5, 3}, {1, 3, 3}}},
    {"depthwise, two outputs a channel", {2, 7, 14, 7, {1, 6, 9}, {1, 6, 9}, {1, 3, 5}, {1, 1, 1}, {0, 1, 2}}},
    {"one dimension", {3, 5, 7, 1, {1, 1, 41}, {1, 1, 38}, {1, 1, 4}}},
    {"three dimensions", {2, 3, 4, 1, {5, 4, 6}, {5, 3, 4}, {2, 2, 3}, {1, 1, 1}, {1, 0, 0}, {2, 1, 1}}},
    {"no samples", {0, 3, 5, 1, {1, 6, 7}, {1, 4, 5}, {1, 3, 3}}},
    {"no outputs", {2, 3, 5, 1, {1, 2, 7}, {1, 0, 5}, {1, 3, 3}}},
    {"no inputs", {2, 0, 5, 1, {1, 6, 7}, {1, 4, 5}, {1, 3, 3}}},
};

struct Operands {
  std::vector<float> x, g;
};

// The definition: x unfolded, patch by patch, and the gradient's entries one by one in long double; mass is
// Σ ‖g_t‖‖u_t‖.
struct Truth {
  long double norm, mass;
};

Truth truth_of(const ConvolutionShape& s, const Operands& v, int64_t sample) {
  const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups;
  Truth truth{0, 0};
  for (int64_t group = 0; group < s.groups; ++group) {
    std::vector<long double> weight(out * in * s.taps());
    for (int64_t d = 0; d < s.output[0]; ++d)
      for (int64_t h = 0; h < s.output[1]; ++h)
        for (int64_t w = 0; w < s.output[2]; ++w) {
          std::vector<long double> patch;
          for (int64_t c = 0; c < in; ++c)
            for (int64_t a = 0; a < s.kernel[0]; ++a)
              for (int64_t b = 0; b < s.kernel[1]; ++b)
                for (int64_t k = 0; k < s.kernel[2]; ++k) {
                  const int64_t at[3] = {d + a * s.dilation[0] - s.padding[0], h + b * s.dilation[1] - s.padding[1],
                                         w + k * s.dilation[2] - s.padding[2]};
                  bool inside = true;
                  for (int j = 0; j < 3; ++j) inside = inside && at[j] >= 0 && at[j] < s.input[j];
                  const int64_t channel = sample * s.in_channels + group * in + c;
                  patch.push_back(inside ? v.x[((channel * s.input[0] + at[0]) * s.input[1] + at[1]) * s.input[2] + at[2]]
                                         : 0.0f);
                }
          long double g_square = 0;
          for (int64_t o = 0; o < out; ++o) {
            const int64_t channel = sample * s.out_channels + group * out + o;
            const long double g = v.g[((channel * s.output[0] + d) * s.output[1] + h) * s.output[2] + w];
            g_square += g * g;
            for (size_t k = 0; k < patch.size(); ++k) weight[o * patch.size() + k] += g * patch[k];
          }
          truth.mass += std::sqrt(g_square * square_of(patch));
        }
    truth.norm += square_of(weight);
  }
  truth.norm = std::sqrt(truth.norm);
  return truth;
}

class ConvolutionNormsTest : public BackendTest {
 protected:
  std::vector<double> run(const ConvolutionShape& s, const Operands& v, double before = 0, int threads = 1) {
    Guarded<float> x(v.x, on_cuda()), g(v.g, on_cuda());
    Guarded<double> squared(std::vector<double>(s.samples, before), on_cuda());
    accumulate_convolution_norms(exec(threads), s, x.data(), g.data(), squared.view());
    return squared.read();
  }
  static std::vector<double> run_on(InstructionSet set, const ConvolutionShape& s, const Operands& v) {
    std::vector<double> squared(s.samples);
    add_convolution_norms_cpu({s, v.x.data(), v.g.data(), squared.data(), convolution_rounding(s.positions())}, 0,
                              s.samples, set);
    return squared;
  }
};

Operands normals(const ConvolutionShape& s, uint64_t seed) {
  return {normal_values(s.samples * s.in_channels * s.places(), seed),
          normal_values(s.samples * s.out_channels * s.positions(), seed + 1)};
}

void expect_bound(const ConvolutionShape& s, const Operands& v, int64_t i, double got, double before = 0) {
  const Truth truth = truth_of(s, v, i);
  const long double spare = convolution_rounding(s.positions()) * truth.mass;
  ASSERT_GE(got, before + (truth.norm + spare) * (truth.norm + spare) * (1 - 1e-12L)) << "sample " << i;
  // The promised spare, and a thousandth of the square: the worst error term that is not summed in double instead.
  ASSERT_LE(got, before * (1 + 1e-15L) + (truth.norm + spare) * (truth.norm + spare) * 1.001001L) << "sample " << i;
}

TEST_P(ConvolutionNormsTest, AreThoseOfTheUnfoldedProduct) {
  for (const auto& [name, shape] : kCases) {
    SCOPED_TRACE(name);
    const Operands v = normals(shape, 1);
    const auto got = run(shape, v, 3.0);
    for (int64_t i = 0; i < shape.samples; ++i) expect_bound(shape, v, i, got[i], 3.0);
    if (on_cuda()) continue;
    for (const InstructionSet set : sets_of_this_machine()) {
      const auto own = run_on(set, shape, v);
      for (int64_t i = 0; i < shape.samples; ++i) expect_bound(shape, v, i, own[i]);
    }
  }
}

TEST_P(ConvolutionNormsTest, NeverFallBelowTheTruthOnAdversarialSamples) {
  std::mt19937_64 rng(17);
  for (int round = 0; round < 400; ++round) {
    const auto up_to = [&](int64_t most) { return 1 + static_cast<int64_t>(rng() % static_cast<uint64_t>(most)); };
    ConvolutionShape s{1, up_to(5), up_to(6), 1, {1, up_to(7), up_to(9)}, {1, 1, 1}, {1, up_to(3), up_to(3)}};
    for (const int j : {1, 2}) {
      s.padding[j] = int64_t(rng() % 3);
      s.dilation[j] = up_to(2);
      const int64_t left = s.input[j] + 2 * s.padding[j] - (s.kernel[j] - 1) * s.dilation[j];
      if (left < 1) s.kernel[j] = 1;
      s.output[j] = left < 1 ? s.input[j] + 2 * s.padding[j] : left;
    }
    // "Rows" are what alternates or has its own magnitude: places of x and of g in turn, or channels.
    const bool by_place = rng() % 2;
    const auto values = [&](int64_t channels, int64_t places) {
      const auto made = adversarial_values(by_place ? places : channels, by_place ? channels : places, rng);
      std::vector<float> x(made.size());
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t p = 0; p < places; ++p) x[c * places + p] = made[by_place ? p * channels + c : c * places + p];
      return x;
    };
    const Operands v{values(s.in_channels, s.places()), values(s.out_channels, s.positions())};
    SCOPED_TRACE(testing::Message() << "round " << round);
    expect_bound(s, v, 0, run(s, v)[0]);
    if (HasFatalFailure()) return;
  }
}

TEST_P(ConvolutionNormsTest, AlternatingSignsDoNotCancelIntoASmallerNorm) {
  const ConvolutionShape s{3, 40, 30, 1, {1, 12, 12}, {1, 12, 12}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}};
  Operands v = normals(s, 5);
  for (int64_t i = 0; i < s.samples; ++i) {
    const float tiny = i == 0 ? 1e-2f : i == 1 ? 1e-4f : 1e-6f;
    for (int64_t k = 0; k < 40 * 144; ++k) v.x[i * 40 * 144 + k] = 1 + tiny * v.x[i * 40 * 144 + k];
    for (int64_t k = 0; k < 30 * 144; ++k)
      v.g[i * 30 * 144 + k] = ((k % 12 + k / 12) % 2 ? -1.0f : 1.0f) * (1 + tiny * v.g[i * 30 * 144 + k]);
  }
  const auto got = run(s, v);
  for (int64_t i = 0; i < s.samples; ++i) expect_bound(s, v, i, got[i]);
}

// What is summed of a sample are the floats of convolution_gradients.
TEST_P(ConvolutionNormsTest, CoverWhatTheGradientsKernelMakesOfASample) {
  for (const auto& [name, shape] : kCases) {
    SCOPED_TRACE(name);
    const Operands v = normals(shape, 3);
    Guarded<float> x(v.x, on_cuda()), g(v.g, on_cuda()), rows(std::vector<float>(shape.samples * shape.elements()), on_cuda());
    convolution_gradients(exec(), shape, x.data(), g.data(), {rows.data(), shape.samples, shape.elements()}, {nullptr, 0, 0});
    const auto made = rows.read();
    const auto got = run(shape, v);
    for (int64_t i = 0; i < shape.samples; ++i) {
      const std::vector<float> own(made.begin() + i * shape.elements(), made.begin() + (i + 1) * shape.elements());
      EXPECT_GE(got[i], square_of(own)) << i;
    }
  }
}

TEST_P(ConvolutionNormsTest, NonFiniteSampleTouchesItsOwnNormOnly) {
  for (const auto& [name, shape] : kCases) {
    if (shape.samples < 2 || shape.positions() == 0 || shape.in_channels == 0) continue;
    SCOPED_TRACE(name);
    const Operands clean = normals(shape, 7);
    const auto expected = run(shape, clean);
    const int64_t x_size = shape.in_channels * shape.places(), g_size = shape.out_channels * shape.positions();
    for (const float poison : {NAN, INFINITY, -INFINITY}) {
      Operands v = clean;
      v.x[x_size + x_size / 2] = poison;
      std::fill_n(v.g.begin() + g_size, g_size, 0.0f);  // 0 · ∞
      const auto by_x = run(shape, v);
      EXPECT_FALSE(std::isfinite(by_x[1]));
      v = clean;
      v.g[g_size] = poison;
      const auto by_g = run(shape, v);
      EXPECT_FALSE(std::isfinite(by_g[1]));
      for (int64_t i = 0; i < shape.samples; ++i)
        if (i != 1) {
          EXPECT_EQ(by_x[i], expected[i]);
          EXPECT_EQ(by_g[i], expected[i]);
        }
    }
  }
}

TEST_P(ConvolutionNormsTest, SampleOfZerosAddsNothing) {
  const ConvolutionShape s = kCases[2].shape;
  Operands v = normals(s, 9);
  std::fill(v.g.begin(), v.g.end(), 0.0f);
  EXPECT_EQ(run(s, v), std::vector<double>(3, 0.0));
}

TEST_P(ConvolutionNormsTest, IsTheSameTwiceAloneAndOnAnyNumberOfThreads) {
  for (const auto& [name, shape] : kCases) {
    if (shape.samples == 0) continue;
    SCOPED_TRACE(name);
    ConvolutionShape s = shape;
    s.samples = 23;
    const Operands v = normals(s, 11);
    const auto once = run(s, v);
    for (const int threads : {1, 2, 5}) EXPECT_EQ(run(s, v, 0, threads), once) << threads << " threads";
    const int64_t x_size = s.in_channels * s.places(), g_size = s.out_channels * s.positions();
    s.samples = 1;
    const Operands last{{v.x.end() - x_size, v.x.end()}, {v.g.end() - g_size, v.g.end()}};
    EXPECT_EQ(run(s, last)[0], once.back());
  }
}

SOTTO_ON_EACH_BACKEND(ConvolutionNormsTest);

TEST(ConvolutionNorms, RefuseStridesAndSizesThatDoNotFit) {
  std::vector<float> data(10000);
  std::vector<double> squared(3);
  ConvolutionShape s = kCases[1].shape;
  EXPECT_NO_THROW(accumulate_convolution_norms(Exec::cpu(1), s, data.data(), data.data(), {squared.data(), 3}));
  EXPECT_THROW(accumulate_convolution_norms(Exec::cpu(1), s, data.data(), data.data(), {squared.data(), 2}), Error);
  s.groups = 2;
  EXPECT_THROW(accumulate_convolution_norms(Exec::cpu(1), s, data.data(), data.data(), {squared.data(), 3}), Error);
  s = kCases[1].shape;
  s.stride[1] = 2, s.output[1] = 2;
  EXPECT_THROW(accumulate_convolution_norms(Exec::cpu(1), s, data.data(), data.data(), {squared.data(), 3}), Error);
}

}  // namespace
}  // namespace sotto::kernels
