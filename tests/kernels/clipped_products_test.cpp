#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "cuda/device_array.h"
#include "kernels/clip/clip.h"
#include "kernels/clipped_sum/clipped_products_impl.h"
#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/ghost_norms/ghost_norms.h"
#include "tests/kernels/cases/bfloat16_values.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

template <class T>
std::vector<T> as(const std::vector<float>& values) {
  if constexpr (kIsNarrow<T>)
    return rounded(values);
  else
    return values;
}
inline std::vector<float> values_of(const std::vector<float>& values) {
  return values;
}

// The steps of accumulate_clipped_products on the host: what the library multiplies, in floats, by the definition of
// Matmul, and then what each thread of the kernels writes.
template <class T>
std::vector<float> sum_on_host(const ProductsPlan& plan, const std::vector<T>& g_in, const std::vector<T>& a_in,
                               const std::vector<float>& factors) {
  const int64_t d = plan.size.d, p = plan.size.p;
  std::vector<double> sums(p * d, NAN);  // the first step overwrites
  std::vector<float> weight(p * d, 0.0f), g = values_of(g_in), a = values_of(a_in);
  if (plan.crosses_samples())
    for (int64_t row = 0; row < plan.all_rows(); ++row) {
      float largest = 0;
      for (int64_t j = 0; j < d; ++j) largest = std::fmax(largest, std::fabs(a[row * d + j]));
      for (int thread = 0; thread < 4; ++thread)
        write_scaled_row(g_in.data() + row * p, a_in.data() + row * d, p, d, factors[row], largest, thread, 4,
                         g.data() + row * p, a.data() + row * d);
    }
  each_step<T>(plan, [&](const ProductStep& step) {
    const Matmul& x = step.matmul;
    EXPECT_TRUE(x.a_transposed && !x.b_transposed);
    EXPECT_EQ(x.type == MatmulType::bfloat16, kIsNarrow<T> && step.has_factors);
    std::vector<float> products(x.batch * x.c_stride);
    for (int64_t n = 0; n < x.batch; ++n)
      for (int64_t i = 0; i < x.rows; ++i)
        for (int64_t j = 0; j < x.cols; ++j) {
          float sum = 0;
          for (int64_t k = 0; k < x.depth; ++k)
            sum = std::fma(g.at(step.row * p + n * x.a_stride + k * x.rows + i),
                           a.at(step.row * d + n * x.b_stride + k * x.cols + j), sum);
          products[n * x.c_stride + i * x.cols + j] = sum;
        }
    for (int64_t j = 0; j < p * d; ++j) {
      double total = step.first ? 0 : sums[j];
      for (int64_t i = 0; i < x.batch; ++i)
        total += clipped_product(step.has_factors ? factors.at(step.sample + i) : 1.0f, products[i * p * d + j]);
      if (step.last)
        weight[j] = float(weight[j] + total);
      else
        sums[j] = total;
    }
  });
  return weight;
}

template <class T>
std::vector<float> factors_of(const Shape& shape, const std::vector<T>& a, const std::vector<T>& g, double clip_norm) {
  const int64_t rows = shape.samples * shape.length;
  std::vector<double> squared(shape.samples);
  std::vector<float> factors(shape.samples);
  accumulate_ragged_ghost_norms(Exec::cpu(1), MatrixView<const T>{a.data(), rows, shape.d},
                                MatrixView<const T>{g.data(), rows, shape.p}, {shape.samples, shape.length}, false,
                                {nullptr, 0}, {squared.data(), shape.samples});
  clip_factors(Exec::cpu(1), {squared.data(), shape.samples}, {}, clip_norm, {factors.data(), shape.samples});
  return factors;
}

// The bound of clipped_outer_slack, and for each sample what its norm has in store.
template <class T>
void expect_within(const Shape& shape, const std::vector<float>& a, const std::vector<float>& g,
                   const std::vector<float>& factors, const std::vector<float>& got) {
  std::vector<long double> truth(shape.p * shape.d, 0.0L);
  long double norms = 0, masses = 0;
  for (int64_t i = 0; i < shape.samples; ++i) {
    if (factors[i] == 0) continue;
    const auto gradient = gradient_of(shape, a, g, i, false);
    norms += std::max<long double>(factors[i] * std::sqrt(square_of(gradient)), 0.7L);
    masses += factors[i] * mass_of_sample(shape, a, g, i, false);
    for (size_t k = 0; k < truth.size(); ++k) truth[k] += factors[i] * gradient[k];
  }
  long double square = 0;
  for (size_t k = 0; k < truth.size(); ++k) square += (got[k] - truth[k]) * (got[k] - truth[k]);
  const double spare = kIsNarrow<T> ? kTensorSampleRounding : kSampleRounding;
  EXPECT_LE(std::sqrt(square), clipped_outer_slack(shape.samples, shape.length, 1) * norms + spare * masses)
      << shape.samples << " samples of " << shape.length << ", " << shape.p << "x" << shape.d;
}

const std::vector<Shape> kSequences = {{1, 2, 3, 5},   {5, 7, 4, 3}, {3, 64, 8, 8},  {4, 65, 5, 9}, {2, 300, 6, 4},
                                       {7, 130, 1, 1}, {2, 1, 4, 4}, {200, 1, 9, 5}, {64, 1, 3, 2}, {130, 1, 4, 4}};

template <class T>
void expect_steps_add_up() {
  for (const Shape& shape : kSequences) {
    const int64_t rows = shape.samples * shape.length;
    const auto a = as<T>(normal_values(rows * shape.d, 1)), g = as<T>(normal_values(rows * shape.p, 2));
    const auto factors = factors_of<T>(shape, a, g, 0.7);
    const ClippedProductsSize size{shape.samples, shape.length, shape.d, shape.p};
    for (const int64_t group : {int64_t{1}, int64_t{2}, shape.samples}) {
      ProductsPlan plan = plan_products<T>(size, 0, 0);
      plan.group = std::max<int64_t>(1, std::min(group, plan.count()));
      expect_within<T>(shape, values_of(a), values_of(g), factors, sum_on_host<T>(plan, g, a, factors));
    }
  }
}

TEST(ClippedProducts, StepsOfFloatsAddUpToTheClippedSum) {
  expect_steps_add_up<float>();
}

TEST(ClippedProducts, StepsOfBfloat16AddUpToTheClippedSum) {
  expect_steps_add_up<Bfloat16>();
}

TEST(ClippedProducts, NoChainIsLongerThanTheNormPaysFor) {
  for (const int64_t length : {1, 2, 63, 64, 65, 128, 129, 255, 256, 257, 1000, 4096}) {
    for (const bool narrow : {false, true}) {
      const int64_t samples = length == 1 ? 3 * 64 + 7 : 3;
      const ClippedProductsSize size{samples, length, 5, 7};
      std::vector<int64_t> covered(samples * length, 0);
      std::set<int64_t> depths;
      int firsts = 0, lasts = 0;
      const auto look = [&](const ProductStep& step) {
        EXPECT_LE(step.matmul.depth, narrow && length > 1 ? kTensorChain : kChain);
        EXPECT_EQ(step.first, firsts == 0);
        EXPECT_EQ(lasts, 0);
        ++firsts, lasts += step.last;
        depths.insert(step.matmul.depth);
        for (int64_t n = 0; n < step.matmul.batch; ++n)
          for (int64_t k = 0; k < step.matmul.depth; ++k) {
            const int64_t row = step.row + n * step.matmul.a_stride / size.p + k;
            ++covered.at(row);
            if (length > 1) {
              EXPECT_EQ(row / length, step.sample + n) << "a chain does not cross samples";
            }
          }
      };
      if (narrow)
        each_step<Bfloat16>(plan_products<Bfloat16>(size, 0, 0), look);
      else
        each_step<float>(plan_products<float>(size, 0, 0), look);
      EXPECT_EQ(covered, std::vector<int64_t>(samples * length, 1)) << length;
      EXPECT_LE(depths.size(), 2u);
      EXPECT_EQ(lasts, 1);
    }
  }
  // A float's chain of fused multiplications and additions rounds once a row, and the spare of a norm is for that;
  // those of the tensor cores likewise.
  EXPECT_LE(gamma_of(kChain, kFloatUnit), kSampleRounding);
  EXPECT_LE(tensor_error(kTensorChain), kTensorSampleRounding);
}

TEST(ClippedProducts, ADroppedSampleAndWhatLeavesFloatsRangeStayOutside) {
  EXPECT_EQ(clipped_product(0, NAN), 0);
  EXPECT_EQ(clipped_product(0, INFINITY), 0);
  EXPECT_EQ(clipped_product(1e-30f, INFINITY), 0);
  EXPECT_EQ(clipped_product(1e-30f, -INFINITY), 0);
  EXPECT_EQ(clipped_product(1e-30f, NAN), 0);
  EXPECT_EQ(clipped_product(0.1f, 3.0f), double(0.1f) * 3.0);
}

// Samples of one row meet in chains: what is dropped is written as zeros, and a huge activation does not lose its
// product.
TEST(ClippedProducts, RowsThatShareAChainAreScaledAndDroppedOnTheWay) {
  const int64_t samples = 70, d = 3, p = 2;
  auto a = normal_values(samples * d, 1), g = normal_values(samples * p, 2), factors = normal_values(samples, 3);
  std::vector<long double> truth(p * d, 0.0L);
  for (int64_t r = 0; r < samples; ++r) {
    if (r % 7 == 3) factors[r] = 0, a[r * d] = NAN, g[r * p + 1] = INFINITY;
    if (r % 7 == 5) {
      for (int64_t j = 0; j < d; ++j) a[r * d + j] *= 1e30f;
      factors[r] *= 1e-36f;
      for (int64_t i = 0; i < p; ++i) g[r * p + i] *= 1e-6f;
    }
    for (int64_t k = 0; factors[r] != 0 && k < p * d; ++k)
      truth[k] += static_cast<long double>(factors[r]) * g[r * p + k / d] * a[r * d + k % d];
  }
  const auto got = sum_on_host<float>(plan_products<float>({samples, 1, d, p}, 0, 0), g, a, factors);
  for (int64_t k = 0; k < p * d; ++k) EXPECT_NEAR(got[k], double(truth[k]), 70 * kFloatUnit * 70);  // sums far below 70
  // All else dropped: f · g is 1e-42, of which a float has ten bits left, and its product with a is 1e-12.
  for (int64_t r = 0; r < samples; ++r)
    if (r != 5) factors[r] = 0;
  const auto alone = sum_on_host<float>(plan_products<float>({samples, 1, d, p}, 0, 0), g, a, factors);
  for (int64_t k = 0; k < p * d; ++k) {
    const long double entry = static_cast<long double>(factors[5]) * g[5 * p + k / d] * a[5 * d + k % d];
    EXPECT_NEAR(alone[k], double(entry), std::fabs(double(entry)) * 4 * kFloatUnit);
  }
}

TEST(ClippedProducts, AGroupIsAsLargeAsTheWorkspaceHasRoomFor) {
  const ClippedProductsSize size{10, 8, 3, 5};
  for (int64_t bytes = 0; bytes < 4000; ++bytes) {
    const ProductsPlan plan = plan_products<float>(size, 1000, bytes);
    ASSERT_GE(plan.group, 1);
    ASSERT_LE(plan.group, 10);
    if (plan.group > 1) {
      ASSERT_LE(plan.bytes(), bytes);
    }
    ASSERT_GE(plan.library(), plan.products() + plan.group * 15 * 4);
    ASSERT_EQ(plan.products() % 16 + plan.library() % 16, 0);
  }
  EXPECT_EQ(plan_products<float>(size, 1000, 4000).group, 10);
  EXPECT_EQ(plan_products<float>({0, 8, 3, 5}, 0, 0).group, 1);
  const ProductsPlan crossing = plan_products<Bfloat16>({100, 1, 3, 5}, 0, 0);
  EXPECT_GE(crossing.scaled_a(), crossing.scaled_g() + 100 * 5 * 4);
  EXPECT_GE(crossing.products(), crossing.scaled_a() + 100 * 3 * 4);
}

template <class T>
void expect_sums_on_a_device(Blas& blas, const Shape& shape) {
  const int64_t rows = shape.samples * shape.length;
  const auto a = as<T>(normal_values(rows * shape.d, 1)), g = as<T>(normal_values(rows * shape.p, 2));
  const auto factors = factors_of<T>(shape, a, g, 0.7);
  const ClippedProductsSize size{shape.samples, shape.length, shape.d, shape.p};
  DeviceArray<T> a_in(a), g_in(g);
  DeviceArray<float> f(factors);
  for (const int64_t limit : {int64_t{0}, int64_t{1} << 30}) {
    DeviceArray<float> weight(std::vector<float>(shape.p * shape.d)), bias(std::vector<float>(shape.p));
    std::vector<char> room(clipped_products_workspace(blas, size, limit));
    DeviceArray<char> workspace(room);
    accumulate_clipped_products<T>(Exec::cuda(nullptr), blas, {g_in.data(), rows, shape.p},
                                   {a_in.data(), rows, shape.d}, {f.data(), shape.samples}, shape.length,
                                   {workspace.data(), static_cast<int64_t>(room.size())},
                                   {weight.data(), shape.p, shape.d}, {bias.data(), shape.p});
    synchronise(Exec::cuda(nullptr));
    expect_within<T>(shape, values_of(a), values_of(g), factors, weight.to_host());
  }
}

TEST(ClippedProducts, OnCudaAreWithinTheSlack) {
  if (!cuda_present()) GTEST_SKIP() << "no CUDA device on this machine";
  Blas blas;
  for (const Shape& shape : kSequences) {
    expect_sums_on_a_device<float>(blas, shape);
    expect_sums_on_a_device<Bfloat16>(blas, shape);
  }
}

}  // namespace
}  // namespace sotto::kernels
