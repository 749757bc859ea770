#include "kernels/estimated_norms/estimated_norms.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

class EstimatedNormsTest : public BackendTest {
 protected:
  std::vector<double> estimate(const Shape& s, const std::vector<float>& a, const std::vector<float>& g,
                               const std::vector<float>& probes, int threads = 1) {
    Guarded<float> on_a(a, on_cuda()), on_g(g, on_cuda()), on_probes(probes, on_cuda());
    Guarded<double> out(std::vector<double>(static_cast<size_t>(s.samples), 0.0), on_cuda());
    const int64_t rows = s.samples * s.length, count = s.d == 0 ? 1 : static_cast<int64_t>(probes.size()) / s.d;
    estimate_product_norms(exec(threads), {on_a.data(), rows, s.d}, {on_g.data(), rows, s.p}, s.length,
                           {on_probes.data(), count, s.d}, out.view());
    return out.read();
  }
};
SOTTO_ON_EACH_BACKEND(EstimatedNormsTest);

std::vector<Shape> shapes() {
  return {{3, 5, 7, 4}, {1, 1, 1, 1}, {4, 9, 33, 18}, {2, 64, 16, 40}};
}

// With the unit vectors for probes nothing is random: d times the mean is the squared norm itself.
TEST_P(EstimatedNormsTest, OfAllUnitVectorsTheyAreTheNorms) {
  for (const Shape& s : shapes()) {
    const auto a = normal_values(s.samples * s.length * s.d, 1), g = normal_values(s.samples * s.length * s.p, 2);
    std::vector<float> units(static_cast<size_t>(s.d * s.d), 0.0f);
    for (int64_t k = 0; k < s.d; ++k) units[static_cast<size_t>(k * s.d + k)] = 1;
    const std::vector<double> got = estimate(s, a, g, units);
    for (int64_t i = 0; i < s.samples; ++i) {
      long double truth = 0;
      for (const long double value : gradient_of(s, a, g, i, false)) truth += value * value;
      EXPECT_NEAR(double(s.d) * got[static_cast<size_t>(i)], double(truth), 1e-5 * double(truth)) << i;
    }
  }
}

// The relative deviation of one estimate is at most sqrt(2 / K): of 4096 probes 0.022, and five times that never comes.
TEST_P(EstimatedNormsTest, OfGaussianProbesTheyAreCloseToTheNorms) {
  for (const Shape& s : shapes()) {
    const auto a = normal_values(s.samples * s.length * s.d, 3), g = normal_values(s.samples * s.length * s.p, 4);
    const std::vector<double> got = estimate(s, a, g, normal_values(4096 * s.d, 5));
    for (int64_t i = 0; i < s.samples; ++i) {
      long double truth = 0;
      for (const long double value : gradient_of(s, a, g, i, false)) truth += value * value;
      EXPECT_NEAR(got[static_cast<size_t>(i)], double(truth), 5 * std::sqrt(2.0 / 4096) * double(truth)) << i;
    }
  }
}

TEST_P(EstimatedNormsTest, ABadSampleStaysAloneAndThreadsDoNotShow) {
  const Shape s = {5, 6, 20, 17};
  auto a = normal_values(s.samples * s.length * s.d, 6);
  const auto g = normal_values(s.samples * s.length * s.p, 7), probes = normal_values(8 * s.d, 8);
  const std::vector<double> clean = estimate(s, a, g, probes);
  EXPECT_EQ(clean, estimate(s, a, g, probes, 3));
  a[static_cast<size_t>(2 * s.length * s.d + 3)] = NAN;
  const std::vector<double> got = estimate(s, a, g, probes);
  for (size_t i = 0; i < 5; ++i) {
    if (i == 2)
      EXPECT_FALSE(std::isfinite(got[i]));
    else
      EXPECT_EQ(got[i], clean[i]);
  }
}

TEST(EstimatedNorms, RefusesShapesThatDoNotFit) {
  float x[8] = {};
  double out[2] = {};
  const Exec cpu = Exec::cpu(1);
  EXPECT_THROW(estimate_product_norms(cpu, {x, 4, 2}, {x, 4, 1}, 0, {x, 1, 2}, {out, 2}), Error);
  EXPECT_THROW(estimate_product_norms(cpu, {x, 4, 2}, {x, 3, 1}, 2, {x, 1, 2}, {out, 2}), Error);
  EXPECT_THROW(estimate_product_norms(cpu, {x, 4, 2}, {x, 4, 1}, 2, {x, 1, 3}, {out, 2}), Error);
  EXPECT_THROW(estimate_product_norms(cpu, {x, 4, 2}, {x, 4, 1}, 2, {x, 0, 2}, {out, 2}), Error);
}

}  // namespace
}  // namespace sotto::kernels
