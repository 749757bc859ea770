#include "kernels/group_norm/group_norm.h"

#include <functional>

#include "base/error.h"
#include "kernels/layer_norm/layer_norm.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

struct NormShape {
  int64_t samples, groups, channels, positions;  // channels of one group
  bool rms = false;                              // rows without a mean
  bool position_first = false;                   // of layer normalisation
};

// A normalised block: `count` values that share a mean and a deviation.
struct Statistics {
  long double mean, rstd;
};

Statistics statistics(const std::vector<long double>& x, bool rms) {
  long double mean = 0, square = 0;
  for (const long double value : x) mean += value / x.size();
  if (rms) mean = 0;
  for (const long double value : x) square += (value - mean) * (value - mean) / x.size();
  return {mean, 1 / std::sqrt(square + 1e-5L)};
}

// Σ_j w_j x̂_j, of which the gradient in x is taken by differences: the definition, and no formula of a gradient.
long double weighted(const std::vector<long double>& x, const std::vector<long double>& w, bool rms) {
  const Statistics s = statistics(x, rms);
  long double sum = 0;
  for (size_t j = 0; j < x.size(); ++j) sum += w[j] * (x[j] - s.mean) * s.rstd;
  return sum;
}

std::vector<long double> input_gradient(std::vector<long double> x, const std::vector<long double>& w, bool rms) {
  constexpr long double kStep = 1e-4L;  // error of its square, 1e-8
  std::vector<long double> gradient;
  for (size_t j = 0; j < x.size(); ++j) {
    const long double at = x[j];
    x[j] = at + kStep;
    const long double above = weighted(x, w, rms);
    x[j] = at - kStep;
    gradient.push_back((above - weighted(x, w, rms)) / (2 * kStep));
    x[j] = at;
  }
  return gradient;
}

struct Result {
  std::vector<float> input, scale, shift;
};

struct Data {
  std::vector<float> x, g, gamma, mean, rstd;
};

class GroupNormTest : public BackendTest {
 protected:
  Result run(const NormShape& n, const Data& data, bool rows, int threads = 1) {
    const int64_t channels = n.groups * n.channels, all = n.samples * channels * n.positions;
    const int64_t width = rows ? n.channels : channels;  // of scale and shift
    const std::vector<float> empty_rows(n.samples * width, 7), empty(all, 7);
    Guarded<float> x(data.x, on_cuda()), g(data.g, on_cuda()), gamma(data.gamma, on_cuda()), mean(data.mean, on_cuda()),
        rstd(data.rstd, on_cuda()), input(empty, on_cuda()), scale(empty_rows, on_cuda()), shift(empty_rows, on_cuda());
    const auto optional = [](Guarded<float>& values) {
      const VectorView<float> view = values.view();
      return VectorView<const float>{view.size ? view.data : nullptr, view.size};
    };
    const int64_t lines = rows ? n.samples * n.groups : n.samples * channels, columns = rows ? n.channels : n.positions;
    const NormGradients out = {{input.data(), lines, columns}, {scale.data(), n.samples, width}, {shift.data(), n.samples, width}};
    const VectorView<float> deviations = rstd.view();
    if (rows) {
      const SampleRows places = n.position_first ? SampleRows{n.samples, n.groups, 1, n.samples}
                                                 : SampleRows{n.samples, n.groups, n.groups, 1};
      layer_norm_backward(exec(threads), places, {x.data(), lines, columns}, {g.data(), lines, columns}, optional(mean),
                          {deviations.data, deviations.size}, optional(gamma), out);
    } else {
      group_norm_backward(exec(threads), n.samples, {x.data(), lines, columns}, {g.data(), lines, columns}, optional(mean),
                          {deviations.data, deviations.size}, optional(gamma), out);
    }
    return {input.read(), scale.read(), shift.read()};
  }

  // The group of sample i, or row t = group of it: where its values begin.
  static int64_t block(const NormShape& n, int64_t sample, int64_t group) {
    return n.position_first ? group * n.samples + sample : sample * n.groups + group;
  }

  static Data data(const NormShape& n, bool rows, bool gamma, uint64_t seed) {
    const int64_t size = n.channels * n.positions, blocks = n.samples * n.groups;
    Data made = {normal_values(blocks * size, seed), normal_values(blocks * size, seed + 1),
                 gamma ? normal_values(rows ? n.channels : n.groups * n.channels, seed + 2) : std::vector<float>{}, {}, {}};
    for (float& value : made.x) value += 3;  // a mean that cancels
    for (int64_t b = 0; b < blocks; ++b) {
      const Statistics s = statistics({made.x.begin() + b * size, made.x.begin() + (b + 1) * size}, n.rms);
      if (!n.rms) made.mean.push_back(static_cast<float>(s.mean));
      made.rstd.push_back(static_cast<float>(s.rstd));
    }
    return made;
  }
};

const NormShape kGroups[] = {{1, 1, 1, 2}, {3, 2, 3, 5}, {2, 3, 1, 64}, {2, 2, 4, 33}, {5, 4, 2, 1}, {1, 1, 3, 200}, {2, 1, 16, 9}};
const NormShape kRows[] = {{1, 1, 2, 1}, {3, 4, 5, 1}, {2, 7, 16, 1}, {3, 65, 37, 1}, {2, 130, 20, 1}, {2, 3, 130, 1}, {4, 1, 33, 1}};

TEST_P(GroupNormTest, GradientsAreThoseOfTheDefinition) {
  for (const bool rows : {false, true})
    for (NormShape n : rows ? std::vector(std::begin(kRows), std::end(kRows)) : std::vector(std::begin(kGroups), std::end(kGroups)))
      for (const int variant : {0, 1, 2}) {
        n.rms = rows && variant == 1;
        n.position_first = rows && variant == 2;
        const bool with_gamma = variant != 0 || n.samples != 2;
        SCOPED_TRACE(testing::Message() << (rows ? "rows " : "groups ") << n.samples << " " << n.groups << " " << n.channels << " "
                                        << n.positions << " variant " << variant);
        const Data d = data(n, rows, with_gamma, 5);
        const Result got = run(n, d, rows);
        const int64_t width = rows ? n.channels : n.groups * n.channels, size = n.channels * n.positions;
        for (int64_t i = 0; i < n.samples; ++i) {
          std::vector<long double> scale(width), shift(width), scale_mass(width), shift_mass(width);
          for (int64_t k = 0; k < n.groups; ++k) {
            const int64_t first = block(n, i, k) * size;
            const std::vector<long double> x(d.x.begin() + first, d.x.begin() + first + size);
            const Statistics s = statistics(x, n.rms);
            std::vector<long double> w(x.size());
            long double mass = 0;
            for (int64_t j = 0; j < size; ++j) {
              const int64_t c = (rows ? 0 : k * n.channels) + j / n.positions;
              const long double g = d.g[first + j], hat = (x[j] - s.mean) * s.rstd;
              w[j] = g * (with_gamma ? d.gamma[c] : 1.0L);
              mass += std::abs(w[j]) * s.rstd;
              scale[c] += g * hat;
              shift[c] += g;
              scale_mass[c] += std::abs(g) * (std::abs(hat) + s.rstd * 3);
              shift_mass[c] += std::abs(g);
            }
            const auto expected = input_gradient(x, w, n.rms);
            // The statistics come in as floats, of values near 3: a few roundings of what is summed.
            for (int64_t j = 0; j < size; ++j) ASSERT_NEAR(got.input[first + j], expected[j], 8e-6L * (1 + mass)) << j;
          }
          for (int64_t c = 0; c < width; ++c) {
            ASSERT_NEAR(got.scale[i * width + c], scale[c], 1e-6L * (1 + scale_mass[c])) << "sample " << i << " channel " << c;
            ASSERT_NEAR(got.shift[i * width + c], shift[c], 1e-6L * (1 + shift_mass[c]));
          }
        }
      }
}

TEST_P(GroupNormTest, NonFiniteSampleLeavesTheOthersTheirBits) {
  for (const bool rows : {false, true})
    for (const float poison : {NAN, INFINITY}) {
      const NormShape n = rows ? NormShape{4, 6, 33, 1, false, true} : NormShape{4, 2, 3, 21};
      Data d = data(n, rows, true, 9);
      const Result clean = run(n, d, rows);
      const int64_t size = n.channels * n.positions, width = rows ? n.channels : n.groups * n.channels;
      d.g[block(n, 2, 1) * size + 4] = poison;
      d.x[block(n, 1, 0) * size] = poison;
      const Result got = run(n, d, rows);
      for (int64_t i : {0, 3}) {
        for (int64_t c = 0; c < width; ++c) {
          EXPECT_EQ(got.scale[i * width + c], clean.scale[i * width + c]);
          EXPECT_EQ(got.shift[i * width + c], clean.shift[i * width + c]);
        }
        for (int64_t k = 0; k < n.groups; ++k)
          for (int64_t j = 0; j < size; ++j) EXPECT_EQ(got.input[block(n, i, k) * size + j], clean.input[block(n, i, k) * size + j]);
      }
      EXPECT_FALSE(std::isfinite(got.shift[2 * width + (rows ? 4 : n.channels)]));
    }
}

SOTTO_ON_EACH_BACKEND(GroupNormTest);

// Threads are the CPU's alone.
class GroupNormCpu : public GroupNormTest {};

TEST_P(GroupNormCpu, IsTheSameOnOneThreadAndOnThree) {
  for (const bool rows : {false, true}) {
    const NormShape n = rows ? NormShape{40, 50, 64, 1} : NormShape{40, 4, 8, 64};
    const Data d = data(n, rows, true, 3);
    const Result one = run(n, d, rows, 1), three = run(n, d, rows, 3);
    EXPECT_EQ(one.input, three.input);
    EXPECT_EQ(one.scale, three.scale);
    EXPECT_EQ(one.shift, three.shift);
  }
}
INSTANTIATE_TEST_SUITE_P(, GroupNormCpu, testing::Values(Backend::cpu));

TEST(GroupNorm, WritesOnlyWhatIsWanted) {
  const std::vector<float> x = normal_values(24, 1), g = normal_values(24, 2), mean(4, 0), rstd(4, 1);
  std::vector<float> scale(12);
  const NormGradients only_scale = {{nullptr, 0, 0}, {scale.data(), 2, 6}, {nullptr, 0, 0}};
  group_norm_backward(Exec::cpu(1), 2, {x.data(), 12, 2}, {g.data(), 12, 2}, {mean.data(), 4}, {rstd.data(), 4}, {nullptr, 0},
                      only_scale);
  EXPECT_FLOAT_EQ(scale[3], x[6] * g[6] + x[7] * g[7]);
}

TEST(GroupNorm, RefusesSizesThatDoNotMatch) {
  float v[64] = {};
  const auto groups = [&](int64_t samples, int64_t lines, int64_t means, int64_t gamma, int64_t rows) {
    const NormGradients out = {{v, lines, 2}, {v, rows, 4}, {v, rows, 4}};
    group_norm_backward(Exec::cpu(1), samples, {v, lines, 2}, {v, lines, 2}, {v, means}, {v, means}, {v, gamma}, out);
  };
  EXPECT_NO_THROW(groups(2, 8, 4, 4, 2));
  EXPECT_THROW(groups(3, 8, 4, 4, 2), Error);
  EXPECT_THROW(groups(2, 8, 6, 4, 2), Error);
  EXPECT_THROW(groups(2, 8, 4, 3, 2), Error);
  EXPECT_THROW(groups(2, 8, 4, 4, 3), Error);
  const auto rows = [&](const SampleRows& places, int64_t statistics, int64_t gamma) {
    const NormGradients out = {{v, 6, 4}, {v, 2, 4}, {v, 2, 4}};
    layer_norm_backward(Exec::cpu(1), places, {v, 6, 4}, {v, 6, 4}, {v, statistics}, {v, statistics}, {v, gamma}, out);
  };
  EXPECT_NO_THROW(rows({2, 3, 3, 1}, 6, 4));
  EXPECT_THROW(rows({2, 2, 2, 1}, 6, 4), Error);
  EXPECT_THROW(rows({2, 3, 2, 1}, 6, 4), Error);
  EXPECT_THROW(rows({2, 3, 3, 1}, 5, 4), Error);
  EXPECT_THROW(rows({2, 3, 3, 1}, 6, 3), Error);
}

}  // namespace
}  // namespace sotto::kernels
