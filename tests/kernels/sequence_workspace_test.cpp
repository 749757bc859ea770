#include "base/error.h"
#include "kernels/ghost_norms/ghost_norms.h"
#include "kernels/rounding.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

using Accumulate = void (*)(const Exec&, MatrixView<const float>, MatrixView<const float>, const Segments&, bool,
                            VectorView<double> workspace, VectorView<double> squared);
constexpr Accumulate kWays[] = {accumulate_ragged_ghost_norms, accumulate_ragged_direct_norms};

// Norms of floats given a workspace: on CUDA by tensor cores, on the CPU as without.
class SequenceWorkspaceTest : public BackendTest {
 protected:
  std::vector<double> norms(Accumulate way, const Shape& shape, const std::vector<float>& a,
                            const std::vector<float>& g, bool bias, const std::vector<int64_t>& starts = {}) {
    const auto rows = static_cast<int64_t>(g.size()) / shape.p;
    Guarded<float> a_in(a, on_cuda()), g_in(g, on_cuda());
    Guarded<int64_t> table(starts, on_cuda());
    Guarded<double> out(std::vector<double>(shape.samples, 0.0), on_cuda());
    const Segments segments{shape.samples, shape.length, starts.empty() ? nullptr : table.data()};
    const MatrixView<const float> a_view{a_in.data(), rows, shape.d}, g_view{g_in.data(), rows, shape.p};
    const auto room = static_cast<size_t>(sequence_norms_workspace(exec(), a_view, g_view, segments));
    Guarded<double> workspace(std::vector<double>(room, NAN), on_cuda());
    way(exec(), a_view, g_view, segments, bias, workspace.view(), out.view());
    workspace.read();
    return out.read();
  }

  void expect_between(Accumulate way, const Shape& shape, const std::vector<float>& a, const std::vector<float>& g,
                      bool bias) {
    const auto got = norms(way, shape, a, g, bias);
    for (int64_t i = 0; i < shape.samples; ++i) {
      const long double truth = std::sqrt(square_of(gradient_of(shape, a, g, i, bias)));
      const long double spare = kSampleRounding * mass_of_sample(shape, a, g, i, bias);
      ASSERT_GE(got[i], (truth + spare) * (truth + spare) * (1 - 1e-15L)) << "T=" << shape.length << " sample " << i;
      // Twice the worst error that does not take the next way: two thousandths of the square, or one of the norm.
      ASSERT_LE(got[i], (truth + spare) * (truth + spare) * 1.0041L) << "T=" << shape.length << " sample " << i;
    }
  }
};

TEST_P(SequenceWorkspaceTest, NormsOfFloatsCoverTheGradientAndTheSpare) {
  std::vector<Shape> shapes = kShapes;
  shapes.insert(shapes.end(), {{2, 130, 136, 264}, {3, 100, 72, 64}});
  for (const Accumulate way : kWays)
    for (const Shape& shape : shapes)
      for (const bool bias : {false, true}) {
        const int64_t rows = shape.samples * shape.length;
        expect_between(way, shape, normal_values(rows * shape.d, 1), normal_values(rows * shape.p, 2), bias);
      }
}

TEST_P(SequenceWorkspaceTest, NormsOfAdversarialFloatsNeverFallBelowTheTruth) {
  std::mt19937_64 rng(13);
  for (int round = 0; round < 1000; ++round) {
    const Shape shape{1, 1 + int64_t(rng() % 12), int64_t(rng() % 40), 1 + int64_t(rng() % 20)};
    const auto a = adversarial_values(shape.length, shape.d, rng), g = adversarial_values(shape.length, shape.p, rng);
    const bool bias = rng() % 2;
    for (const Accumulate way : kWays) expect_between(way, shape, a, g, bias);
  }
}

TEST_P(SequenceWorkspaceTest, ASampleOfATableHasTheNormThatItHasAloneTwice) {
  const std::vector<int64_t> starts = {0, 7, 7, 8, 78, 83};  // of 7, none, 1, 70 and 5 rows
  auto a = normal_values(83 * 24, 1);
  const auto g = normal_values(83 * 16, 2);
  a[7 * 24] = NAN;  // all of the sample of one row, and nobody else's
  for (const Accumulate way : kWays) {
    const auto got = norms(way, {5, 70, 24, 16}, a, g, true, starts);
    const auto again = norms(way, {5, 70, 24, 16}, a, g, true, starts);
    for (int64_t i : {0, 3, 4}) {
      EXPECT_EQ(got[i], again[i]);
      const Shape own{1, starts[i + 1] - starts[i], 24, 16};
      EXPECT_EQ(got[i], norms(way, own, {a.begin() + starts[i] * 24, a.begin() + starts[i + 1] * 24},
                              {g.begin() + starts[i] * 16, g.begin() + starts[i + 1] * 16}, true)[0]);
    }
    EXPECT_EQ(got[1], 0);
    EXPECT_FALSE(std::isfinite(got[2]));
  }
}

SOTTO_ON_EACH_BACKEND(SequenceWorkspaceTest);

TEST(SequenceWorkspace, OfADeviceIsAskedForByTheShapeAndOfTheCpuEmpty) {
  float x[8] = {};
  double s[2] = {}, small[1];
  const MatrixView<const float> view{x, 4, 2};
  EXPECT_EQ(sequence_norms_workspace(Exec::cpu(1), view, view, {2, 2}), 0);
  EXPECT_GT(sequence_norms_workspace(Exec::cuda(nullptr), view, view, {2, 2}), 1);
  // Looked at before anything runs on the device.
  for (const Accumulate way : kWays)
    EXPECT_THROW(way(Exec::cuda(nullptr), view, view, {2, 2}, false, {small, 1}, {s, 2}), Error);
}

}  // namespace
}  // namespace sotto::kernels
