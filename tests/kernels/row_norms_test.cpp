#include "kernels/row_norms/row_norms.h"

#include "base/error.h"
#include "kernels/outer_norms/outer_norms.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

class RowNormsTest : public BackendTest {
 protected:
  std::vector<double> rows(const std::vector<float>& x, int64_t samples, std::vector<double> squared, int threads = 1) {
    const int64_t columns = samples ? static_cast<int64_t>(x.size()) / samples : 0;
    Guarded<float> in(x, on_cuda());
    Guarded<double> out(squared, on_cuda());
    accumulate_row_norms(exec(threads), {in.data(), samples, columns}, out.view());
    return out.read();
  }
  std::vector<double> outers(const Shape& shape, const std::vector<float>& a, const std::vector<float>& g, bool bias,
                             std::vector<double> squared, int threads = 1) {
    Guarded<float> a_in(a, on_cuda()), g_in(g, on_cuda());
    Guarded<double> out(squared, on_cuda());
    accumulate_outer_norms(exec(threads), {a_in.data(), shape.samples, shape.d}, {g_in.data(), shape.samples, shape.p},
                           bias, out.view());
    return out.read();
  }
};

TEST_P(RowNormsTest, AddsTheSquaredNormOfEachRowAndNeverLess) {
  for (const Shape& shape : kShapes) {
    const auto x = normal_values(shape.samples * shape.p, 1);
    const auto got = rows(x, shape.samples, std::vector<double>(shape.samples, 2.0));
    for (int64_t i = 0; i < shape.samples; ++i) {
      const std::vector<float> row(x.begin() + i * shape.p, x.begin() + (i + 1) * shape.p);
      const long double truth = 2.0L + square_of(row);
      EXPECT_GE(got[i], truth);
      EXPECT_LE(got[i], truth * (1 + 1e-12L)) << "the raise is a few ulp a term";
    }
  }
}

TEST_P(RowNormsTest, OuterProductsNormIsTheProductOfTheNormsAndNeverLess) {
  for (const Shape& shape : kShapes)
    for (bool bias : {false, true}) {
      if (shape.length != 1) continue;
      const auto a = normal_values(shape.samples * shape.d, 2), g = normal_values(shape.samples * shape.p, 3);
      const auto got = outers(shape, a, g, bias, std::vector<double>(shape.samples, 0.0));
      for (int64_t i = 0; i < shape.samples; ++i) {
        const long double truth = square_of(gradient_of(shape, a, g, i, bias));
        EXPECT_GE(got[i], truth) << shape.d << "x" << shape.p;
        EXPECT_LE(got[i], truth * (1 + 1e-12L));
      }
    }
}

TEST_P(RowNormsTest, NoMagnitudeOverflowsVanishesOrFallsBelowTheTruth) {
  std::mt19937_64 rng(7);
  for (int round = 0; round < 2000; ++round) {
    const Shape shape{2, 1, 1 + int64_t(rng() % 40), 1 + int64_t(rng() % 40)};
    const auto a = adversarial_values(2, shape.d, rng), g = adversarial_values(2, shape.p, rng);
    const auto row = rows(a, 2, {0, 0}), outer = outers(shape, a, g, round % 2, {0, 0});
    for (int64_t i = 0; i < 2; ++i) {
      const std::vector<float> a_row(a.begin() + i * shape.d, a.begin() + (i + 1) * shape.d);
      ASSERT_GE(row[i], square_of(a_row)) << "round " << round;
      ASSERT_GE(outer[i], square_of(gradient_of(shape, a, g, i, round % 2))) << "round " << round;
      ASSERT_LT(outer[i], INFINITY);
    }
  }
  EXPECT_GT(rows({1e-45f}, 1, {0})[0], 0);
  EXPECT_LT(rows({3e38f, 3e38f}, 1, {0})[0], INFINITY);
}

TEST_P(RowNormsTest, NonFiniteRowTouchesItsOwnNormOnly) {
  const Shape shape{5, 1, 37, 21};
  auto a = normal_values(shape.samples * shape.d, 4), g = normal_values(shape.samples * shape.p, 5);
  const auto clean = outers(shape, a, g, true, std::vector<double>(5, 0.0));
  a[1 * shape.d + 36] = NAN;
  g[3 * shape.p] = INFINITY;
  for (int64_t i = 0; i < shape.p; ++i) g[4 * shape.p + i] = 0;
  a[4 * shape.d + 2] = -INFINITY;  // 0 · ∞
  const auto got = outers(shape, a, g, true, std::vector<double>(5, 0.0));
  for (int i : {1, 3, 4}) EXPECT_FALSE(std::isfinite(got[i])) << i;
  for (int i : {0, 2}) EXPECT_EQ(got[i], clean[i]) << i;
}

SOTTO_ON_EACH_BACKEND(RowNormsTest);

TEST(RowNorms, AreTheSameOnOneThreadAndOnTwo) {
  const int64_t samples = 3000, d = 61, p = 13;
  const auto a = normal_values(samples * d, 8), g = normal_values(samples * p, 9);
  std::vector<double> one(samples), two(samples);
  for (int threads : {1, 2}) {
    VectorView<double> out{(threads == 1 ? one : two).data(), samples};
    accumulate_outer_norms(Exec::cpu(threads), {a.data(), samples, d}, {g.data(), samples, p}, true, out);
    accumulate_row_norms(Exec::cpu(threads), {a.data(), samples, d}, out);
  }
  EXPECT_EQ(one, two);
}

TEST(RowNorms, RefuseSizesThatDoNotMatch) {
  float x[4] = {};
  double s[4] = {};
  EXPECT_THROW(accumulate_row_norms(Exec::cpu(1), {x, 2, 2}, {s, 3}), Error);
  EXPECT_THROW(accumulate_outer_norms(Exec::cpu(1), {x, 2, 2}, {x, 1, 2}, false, {s, 2}), Error);
  EXPECT_THROW(accumulate_outer_norms(Exec::cpu(1), {x, 2, 2}, {x, 2, 2}, false, {s, 1}), Error);
}

}  // namespace
}  // namespace sotto::kernels
