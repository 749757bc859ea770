#include "base/error.h"
#include "kernels/clip/clip.h"
#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/row_norms/row_norms.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

class ClippedRowsTest : public BackendTest {
 protected:
  std::vector<float> run(const std::vector<float>& x, const std::vector<float>& factors, int64_t columns,
                         std::vector<float> before = {}, int threads = 1) {
    before.resize(static_cast<size_t>(columns));
    const int64_t samples = static_cast<int64_t>(factors.size());
    Guarded<float> x_in(x, on_cuda()), f_in(factors, on_cuda()), sum(before, on_cuda());
    accumulate_clipped_rows(exec(threads), {x_in.data(), samples, columns}, {f_in.data(), samples}, sum.view());
    return sum.read();
  }
};

TEST_P(ClippedRowsTest, IsTheSumOfTheScaledRowsWithinItsSlack) {
  std::mt19937_64 rng(23);
  for (int round = 0; round < 400; ++round) {
    const int64_t samples = int64_t(rng() % 70), columns = round < 4 ? 1023 + round : int64_t(rng() % 60);
    const auto x = adversarial_values(samples, columns, rng);
    std::vector<double> squared(samples);
    std::vector<float> factors(samples);
    accumulate_row_norms(Exec::cpu(1), {x.data(), samples, columns}, {squared.data(), samples});
    clip_factors(Exec::cpu(1), {squared.data(), samples}, {}, 1.0, {factors.data(), samples});
    const auto got = run(x, factors, columns);
    long double error = 0;
    for (int64_t j = 0; j < columns; ++j) {
      long double truth = 0;
      for (int64_t i = 0; i < samples; ++i) truth += static_cast<long double>(factors[i]) * x[i * columns + j];
      error += (got[j] - truth) * (got[j] - truth);
    }
    ASSERT_LE(std::sqrt(error), clipped_rows_slack(samples, 1) * double(samples)) << "round " << round;
  }
}

TEST_P(ClippedRowsTest, AddsToWhatIsThere) {
  EXPECT_EQ(run({1, 2, 3, 4}, {0.5f, 1}, 2, {10, 20}), (std::vector<float>{13.5f, 25}));
}

TEST_P(ClippedRowsTest, CallsIntoDoublesRoundAsOneCallIntoFloats) {
  const auto x = normal_values(37 * 2011, 1), factors = normal_values(37, 2);
  std::vector<double> none(2011);
  Guarded<float> x_in(x, on_cuda()), f_in(factors, on_cuda());
  Guarded<double> sum(none, on_cuda());
  for (const auto& [first, last] : {std::pair{0, 5}, {5, 36}, {36, 37}})
    accumulate_clipped_rows(exec(2), {x_in.data() + first * 2011, last - first, 2011}, {f_in.data() + first, last - first},
                            sum.view());
  const auto cut = sum.read();
  const auto whole = run(x, factors, 2011);
  for (size_t j = 0; j < cut.size(); ++j) ASSERT_EQ(static_cast<float>(cut[j]), whole[j]) << j;
}

TEST_P(ClippedRowsTest, DroppedRowLeavesNoTrace) {
  EXPECT_EQ(run({NAN, INFINITY, 3, 4}, {0, 0.5f}, 2), (std::vector<float>{1.5f, 2}));
}

TEST_P(ClippedRowsTest, DoesNotDependOnTheNumberOfThreads) {
  const auto x = normal_values(37 * 20011, 1), factors = normal_values(37, 2);
  const auto one = run(x, factors, 20011, {}, 1);
  for (const int threads : {2, 3, 7}) EXPECT_EQ(run(x, factors, 20011, {}, threads), one);
}

SOTTO_ON_EACH_BACKEND(ClippedRowsTest);

TEST(ClippedRows, RefuseSizesThatDoNotMatch) {
  float x[4] = {};
  EXPECT_THROW(accumulate_clipped_rows(Exec::cpu(1), {x, 2, 2}, {x, 3}, {x, 2}), Error);
  EXPECT_THROW(accumulate_clipped_rows(Exec::cpu(1), {x, 2, 2}, {x, 2}, {x, 3}), Error);
}

}  // namespace
}  // namespace sotto::kernels
