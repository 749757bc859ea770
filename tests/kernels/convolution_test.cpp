#include "kernels/convolution/convolution.h"

#include "base/error.h"
#include "kernels/convolution/convolution_impl.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/instruction_sets.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

struct Named {
  const char* name;
  ConvolutionShape shape;
};

const Named kConvolutions[] = {
    {"one of everything", {1, 1, 1, 1, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}}},
    {"3x3", {3, 3, 5, 1, {1, 6, 7}, {1, 4, 5}, {1, 3, 3}}},
    {"3x3, padded", {3, 3, 5, 1, {1, 6, 7}, {1, 6, 7}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}},
    {"1x1 of 40 to 50 channels", {2, 40, 50, 1, {1, 5, 5}, {1, 5, 5}, {1, 1, 1}}},
    {"8x8, stride 2, 16 channels", {2, 1, 16, 1, {1, 28, 28}, {1, 14, 14}, {1, 8, 8}, {1, 2, 2}, {0, 3, 3}}},
    {"4x4, 16 to 32 channels", {2, 16, 32, 1, {1, 13, 13}, {1, 5, 5}, {1, 4, 4}, {1, 2, 2}}},
    {"3x3, 3 to 32 channels of 32x32", {2, 3, 32, 1, {1, 32, 32}, {1, 32, 32}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}},
    {"3x3, 33 to 70 channels", {2, 33, 70, 1, {1, 8, 8}, {1, 8, 8}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}},
    {"5x2, every step different", {2, 4, 6, 1, {1, 17, 19}, {1, 5, 11}, {1, 5, 2}, {1, 3, 2}, {0, 2, 4}, {1, 2, 3}}},
    {"7x7 of one channel", {2, 1, 9, 1, {1, 12, 12}, {1, 12, 12}, {1, 7, 7}, {1, 1, 1}, {0, 3, 3}}},
    {"more padding than input", {2, 2, 3, 1, {1, 2, 1}, {1, 7, 8}, {1, 2, 2}, {1, 1, 1}, {0, 3, 4}}},
    {"taps that meet nothing but padding", {2, 2, 3, 1, {1, 1, 1}, {1, 1, 1}, {1, 5, 5}, {1, 1, 1}, {0, 2, 2}}},
    {"fewer outputs than fit", {2, 2, 3, 1, {1, 9, 9}, {1, 3, 2}, {1, 2, 2}, {1, 2, 2}}},
    {"groups", {3, 6, 9, 3, {1, 7, 5}, {1, 5, 3}, {1, 3, 3}}},
    {"many small groups", {2, 80, 40, 20, {1, 6, 6}, {1, 3, 3}, {1, 3, 3}, {1, 2, 2}, {0, 1, 1}}},
    {"depthwise", {2, 37, 37, 37, {1, 6, 9}, {1, 6, 9}, {1, 3, 5}, {1, 1, 1}, {0, 1, 2}}},
    {"depthwise, dilated, three outputs a channel", {2, 17, 51, 17, {1, 9, 9}, {1, 3, 3}, {1, 3, 3}, {1, 1, 1}, {0, 0, 0}, {1, 3, 3}}},
    {"depthwise, whole rows", {2, 9, 9, 9, {1, 6, 32}, {1, 6, 32}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}},
    {"depthwise, rows that end within a vector", {2, 8, 16, 8, {1, 24, 45}, {1, 8, 45}, {1, 4, 5}, {1, 2, 1}, {0, 0, 2}, {1, 3, 1}}},
    {"depthwise, x that no tap meets", {2, 8, 8, 8, {1, 9, 50}, {1, 4, 45}, {1, 3, 3}, {1, 2, 1}}},
    {"depthwise, a long row", {2, 8, 8, 8, {1, 1, 9000}, {1, 1, 9000}, {1, 1, 5}, {1, 1, 1}, {0, 0, 2}}},
    {"depthwise, three dimensions in whole rows", {2, 16, 16, 16, {3, 4, 45}, {3, 2, 47}, {3, 3, 3}, {1, 1, 1}, {1, 1, 2}, {1, 2, 1}}},
    {"depthwise of two channels", {2, 2, 2, 2, {1, 4, 4}, {1, 2, 2}, {1, 3, 3}}},
    {"one dimension", {3, 5, 7, 1, {1, 1, 300}, {1, 1, 149}, {1, 1, 4}, {1, 1, 2}}},
    {"a long row", {1, 2, 17, 1, {1, 1, 1000}, {1, 1, 1000}, {1, 1, 9}, {1, 1, 1}, {0, 0, 4}}},
    {"three dimensions", {2, 3, 4, 1, {5, 4, 6}, {3, 3, 4}, {2, 2, 3}, {2, 1, 1}, {1, 0, 0}, {2, 1, 1}}},
    {"three dimensions, depthwise", {2, 16, 16, 16, {3, 4, 3}, {3, 4, 3}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}}},
    {"no samples", {0, 3, 5, 1, {1, 6, 7}, {1, 4, 5}, {1, 3, 3}}},
    {"no outputs", {2, 3, 5, 1, {1, 2, 7}, {1, 0, 5}, {1, 3, 3}}},
    {"no inputs", {2, 0, 5, 1, {1, 6, 7}, {1, 4, 5}, {1, 3, 3}}},
};

struct Operands {
  std::vector<float> x, g;
};

Operands operands(const ConvolutionShape& s, uint64_t seed) {
  return {normal_values(s.samples * s.in_channels * s.places(), seed),
          normal_values(s.samples * s.out_channels * s.positions(), seed + 1)};
}

// The definition, in double, with the sum of the absolute products beside each entry.
struct Truth {
  std::vector<double> value, mass;
};

Truth weight_truth(const ConvolutionShape& s, const Operands& v) {
  const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups;
  Truth truth;
  for (int64_t i = 0; i < s.samples; ++i)
    for (int64_t o = 0; o < s.out_channels; ++o)
      for (int64_t c = 0; c < in; ++c)
        for (int64_t kd = 0; kd < s.kernel[0]; ++kd)
          for (int64_t kh = 0; kh < s.kernel[1]; ++kh)
            for (int64_t kw = 0; kw < s.kernel[2]; ++kw) {
              double sum = 0, mass = 0;
              for (int64_t d = 0; d < s.output[0]; ++d)
                for (int64_t h = 0; h < s.output[1]; ++h)
                  for (int64_t w = 0; w < s.output[2]; ++w) {
                    const int64_t xd = d * s.stride[0] + kd * s.dilation[0] - s.padding[0];
                    const int64_t xh = h * s.stride[1] + kh * s.dilation[1] - s.padding[1];
                    const int64_t xw = w * s.stride[2] + kw * s.dilation[2] - s.padding[2];
                    if (xd < 0 || xd >= s.input[0] || xh < 0 || xh >= s.input[1] || xw < 0 || xw >= s.input[2]) continue;
                    const int64_t channel = i * s.in_channels + o / out * in + c;
                    const double product =
                        double(v.x[((channel * s.input[0] + xd) * s.input[1] + xh) * s.input[2] + xw]) *
                        v.g[(((i * s.out_channels + o) * s.output[0] + d) * s.output[1] + h) * s.output[2] + w];
                    sum += product, mass += std::abs(product);
                  }
              truth.value.push_back(sum), truth.mass.push_back(mass);
            }
  return truth;
}

struct Rows {
  std::vector<float> weight, bias;
  bool operator==(const Rows&) const = default;
};

class ConvolutionTest : public BackendTest {
 protected:
  Rows run(const ConvolutionShape& s, const Operands& v, bool with_bias = true, int threads = 1) {
    Guarded<float> x(v.x, on_cuda()), g(v.g, on_cuda());
    // NaN: what is not written shows.
    Guarded<float> weight(std::vector<float>(s.samples * s.elements(), NAN), on_cuda());
    Guarded<float> bias(std::vector<float>(with_bias ? s.samples * s.out_channels : 0, NAN), on_cuda());
    const MatrixView<float> bias_rows =
        with_bias ? MatrixView<float>{bias.data(), s.samples, s.out_channels} : MatrixView<float>{nullptr, 0, 0};
    convolution_gradients(exec(threads), s, x.data(), g.data(), {weight.data(), s.samples, s.elements()}, bias_rows);
    return {weight.read(), bias.read()};
  }
  static std::vector<float> run_on(InstructionSet set, const ConvolutionShape& s, const Operands& v) {
    Guarded<float> weight(std::vector<float>(s.samples * s.elements(), NAN), false);
    convolution_gradients_cpu(Exec::cpu(1), {s, v.x.data(), v.g.data(), weight.data(), nullptr}, set);
    return weight.read();
  }
};

TEST_P(ConvolutionTest, IsEachSamplesGradient) {
  for (const auto& [name, shape] : kConvolutions) {
    SCOPED_TRACE(name);
    const Operands v = operands(shape, 1);
    const Truth truth = weight_truth(shape, v);
    const Rows got = run(shape, v);
    std::vector<std::vector<float>> weights{got.weight};
    if (!on_cuda() && shape.samples > 0)
      for (const InstructionSet set : sets_of_this_machine()) weights.push_back(run_on(set, shape, v));
    for (const std::vector<float>& weight : weights) {
      ASSERT_EQ(weight.size(), truth.value.size());
      for (size_t k = 0; k < truth.value.size(); ++k)  // a chain has at most 255 products, and there are few chains
        ASSERT_NEAR(weight[k], truth.value[k], 265 * 0x1p-24 * truth.mass[k]) << "element " << k;
    }
    for (int64_t row = 0; row < shape.samples * shape.out_channels; ++row) {
      double sum = 0, mass = 0;
      for (int64_t t = 0; t < shape.positions(); ++t)
        sum += v.g[row * shape.positions() + t], mass += std::abs(v.g[row * shape.positions() + t]);
      ASSERT_NEAR(got.bias[row], sum, 0x1p-23 * mass) << "bias " << row;  // summed in double, rounded once
    }
    EXPECT_EQ(run(shape, v, false).weight, got.weight) << "the bias changes the weight";
  }
}

TEST_P(ConvolutionTest, ASampleDoesNotDependOnTheOthers) {
  for (const auto& [name, shape] : kConvolutions) {
    if (shape.samples < 2) continue;
    SCOPED_TRACE(name);
    Operands v = operands(shape, 3);
    const Rows clean = run(shape, v);
    const size_t x_size = v.x.size() / shape.samples, g_size = v.g.size() / shape.samples;
    ConvolutionShape alone = shape;
    alone.samples = 1;
    const Rows last = run(alone, {{v.x.end() - x_size, v.x.end()}, {v.g.end() - g_size, v.g.end()}});
    for (const float poison : {NAN, INFINITY}) {
      std::fill_n(v.x.begin(), x_size, poison);  // the first sample
      std::fill_n(v.g.begin(), g_size, poison);
      const Rows got = run(shape, v);
      const int64_t first = shape.elements(), channels = shape.out_channels;
      for (size_t k = first; k < got.weight.size(); ++k) ASSERT_EQ(got.weight[k], clean.weight[k]) << k;
      for (size_t k = channels; k < got.bias.size(); ++k) ASSERT_EQ(got.bias[k], clean.bias[k]) << k;
    }
    EXPECT_TRUE(std::equal(last.weight.begin(), last.weight.end(), clean.weight.end() - shape.elements()));
    EXPECT_TRUE(std::equal(last.bias.begin(), last.bias.end(), clean.bias.end() - shape.out_channels));
  }
}

TEST_P(ConvolutionTest, ANonFiniteEntryShowsInItsSamplesGradient) {
  for (const auto& [name, shape] : kConvolutions) {
    if (shape.samples == 0 || shape.positions() == 0 || shape.in_channels == 0) continue;
    SCOPED_TRACE(name);
    Operands v = operands(shape, 5);
    v.g.back() = NAN;
    const Rows got = run(shape, v);
    EXPECT_TRUE(std::isnan(got.bias.back()));
    EXPECT_TRUE(std::isnan(got.weight.back())) << "NaN · 0 is NaN, in the padding too";
  }
}

TEST_P(ConvolutionTest, IsTheSameTwiceAndOnAnyNumberOfThreads) {
  ConvolutionShape shape = kConvolutions[7].shape;
  shape.samples = 23;
  const Operands v = operands(shape, 7);
  const Rows once = run(shape, v);
  for (const int threads : {1, 2, 5}) EXPECT_EQ(run(shape, v, true, threads), once) << threads << " threads";
}

SOTTO_ON_EACH_BACKEND(ConvolutionTest);

// What CUDA's threads compute for themselves, on the host.
TEST(Convolution, EveryTapMeetsThePlaceThatTheDefinitionSays) {
  for (const auto& [name, shape] : kConvolutions) {
    SCOPED_TRACE(name);
    for (int64_t k = 0; k < shape.taps(); ++k)
      for (int64_t t = 0; t < shape.positions(); ++t) {
        const Place tap = place_of(k, shape.kernel), y = place_of(t, shape.output);
        ASSERT_EQ((tap.d * shape.kernel[1] + tap.h) * shape.kernel[2] + tap.w, k);
        int64_t index = 0, along[3] = {y.d, y.h, y.w};
        const int64_t taps[3] = {tap.d, tap.h, tap.w};
        bool inside = true;
        for (int j = 0; j < 3; ++j) {
          const int64_t at = along[j] * shape.stride[j] + taps[j] * shape.dilation[j] - shape.padding[j];
          inside = inside && at >= 0 && at < shape.input[j];
          index = index * shape.input[j] + at;
        }
        ASSERT_EQ(place_met(shape, tap, y), inside ? index : -1);
      }
  }
}

TEST(Convolution, RefusesShapesThatDoNotFit) {
  const ConvolutionShape good = kConvolutions[1].shape;
  std::vector<float> data(100000);
  const auto refused = [&](const ConvolutionShape& s, int64_t rows, int64_t cols, int64_t bias_cols) {
    try {
      convolution_gradients(Exec::cpu(1), s, data.data(), data.data(), {data.data(), rows, cols},
                            {data.data(), rows, bias_cols});
      return std::string();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
      return std::string(error.what());
    }
  };
  EXPECT_EQ(refused(good, 3, good.elements(), 5), "");
  EXPECT_NE(refused(good, 2, good.elements(), 5), "");
  EXPECT_NE(refused(good, 3, good.elements() - 1, 5), "");
  EXPECT_NE(refused(good, 3, good.elements(), 4), "");
  const auto changed = [&](auto change) {
    ConvolutionShape s = good;
    change(s);
    return refused(s, 3, s.elements(), 5);
  };
  EXPECT_NE(changed([](ConvolutionShape& s) { s.output[2] = 6; }).find("reach 8"), std::string::npos);
  EXPECT_NE(changed([](ConvolutionShape& s) { s.dilation[1] = 2; }).find("dimension 1"), std::string::npos);
  EXPECT_NE(changed([](ConvolutionShape& s) { s.stride[0] = 0; }).find("stride 0"), std::string::npos);
  EXPECT_NE(changed([](ConvolutionShape& s) { s.padding[0] = -1; }).find("padding -1"), std::string::npos);
  ConvolutionShape odd = good;
  odd.groups = 2;
  EXPECT_NE(refused(odd, 3, good.elements(), 5).find("2 groups"), std::string::npos);
}

}  // namespace
}  // namespace sotto::kernels
