#include "kernels/sample_gradients/sample_gradients.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "kernels/sample_gradients/gradient_tile.h"
#include "kernels/sample_gradients/sample_gradients_impl.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/instruction_sets.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

struct Inputs {
  explicit Inputs(const Shape& s)
      : shape(s), a(normal_values(s.samples * s.length * s.d, 1)), g(normal_values(s.samples * s.length * s.p, 2)) {}
  MatrixView<const float> activations() const { return {a.data(), shape.samples * shape.length, shape.d}; }
  MatrixView<const float> gradients() const { return {g.data(), shape.samples * shape.length, shape.p}; }
  int64_t elements() const { return shape.p * shape.d; }
  Shape shape;
  std::vector<float> a, g;
};

// Of every path: a sample that ends inside a chain, one of several chains, tiles that are full and tiles that are not.
std::vector<Shape> shapes() {
  std::vector<Shape> all = kShapes;
  for (const Shape& more : {Shape{3, 64, 130, 100}, {2, 300, 33, 7}, {2, 129, 128, 131}, {2, 16, 64, 64}})
    all.push_back(more);
  return all;
}

void expect_gradients(const Inputs& in, const std::vector<float>& got, double unit = 0) {
  for (int64_t i = 0; i < in.shape.samples; ++i) {
    const auto truth = gradient_of(in.shape, in.a, in.g, i, false);
    // Chains of `length` products of a few units each; an entry of bfloat16 is rounded once more.
    for (int64_t k = 0; k < in.elements(); ++k)
      ASSERT_NEAR(got[i * in.elements() + k], double(truth[k]),
                  2.0 * double(in.shape.length) * 16 * 0x1p-24 + unit * std::abs(double(truth[k])))
          << i << ", " << k;
  }
}

// The second sample's first activation is not a number: its gradients alone are none.
void expect_poison_stays(const Inputs& in, const std::vector<float>& clean, const std::vector<float>& poisoned) {
  EXPECT_TRUE(std::isnan(poisoned[in.elements()]));
  for (int64_t k = 0; k < in.shape.samples * in.elements(); ++k)
    if (k / in.elements() != 1) {
      ASSERT_EQ(poisoned[k], clean[k]) << k;
    }
}

class SampleGradientsTest : public BackendTest {
 protected:
  template <class Row>
  std::vector<Row> run(const Inputs& in, int threads = 1) {
    Guarded<float> a(in.a, on_cuda()), g(in.g, on_cuda());
    Guarded<Row> out(std::vector<Row>(in.shape.samples * in.elements()), on_cuda());
    const int64_t rows = in.shape.samples * in.shape.length;
    sample_gradients(exec(threads), {a.data(), rows, in.shape.d}, {g.data(), rows, in.shape.p}, in.shape.length,
                     MatrixView<Row>{out.data(), in.shape.samples, in.elements()});
    return out.read();
  }
};

TEST_P(SampleGradientsTest, AreTheSumOfOuterProductsOfTheSamplesOwnRows) {
  for (const Shape& shape : shapes()) {
    SCOPED_TRACE(testing::Message() << shape.samples << " x " << shape.length << ", " << shape.p << " x " << shape.d);
    Inputs in(shape);
    const auto got = run<float>(in);
    expect_gradients(in, got);
    EXPECT_EQ(run<float>(in, 3), got);
    if (shape.samples < 2 || in.elements() == 0) continue;
    in.a[shape.length * shape.d] = NAN;
    expect_poison_stays(in, got, run<float>(in));
  }
}

TEST_P(SampleGradientsTest, RoundedRowsAreTheRowsRounded) {
  for (const Shape& shape : shapes()) {
    const Inputs in(shape);
    const auto whole = run<float>(in);
    const auto rounded = run<Bfloat16>(in);
    std::vector<float> widened;
    for (size_t k = 0; k < whole.size(); ++k) {
      ASSERT_EQ(rounded[k].bits, to_bfloat16(whole[k]).bits) << k;
      widened.push_back(to_float(rounded[k]));
    }
    expect_gradients(in, widened, kBfloat16Unit);
  }
}

SOTTO_ON_EACH_BACKEND(SampleGradientsTest);

TEST(SampleGradients, AreRightOnEveryInstructionSet) {
  for (const InstructionSet set : sets_of_this_machine())
    for (const Shape& shape : shapes()) {
      SCOPED_TRACE(name_of(set));
      const Inputs in(shape);
      Guarded<float> out(std::vector<float>(shape.samples * in.elements(), NAN), false);
      sample_gradients_cpu(Exec::cpu(1), in.activations(), in.gradients(), shape.length,
                           MatrixView<float>{out.data(), shape.samples, in.elements()}, set);
      expect_gradients(in, out.read());
    }
}

// The CUDA kernel with a loop in place of its threads: each phase ends where the block would wait for all.
template <int kEntries>
std::vector<float> by_tiles(const Inputs& in) {
  using Tile = GradientTile<kEntries>;
  Guarded<float> out(std::vector<float>(in.shape.samples * in.elements(), -3.0f), false);
  const MatrixView<float> rows{out.data(), in.shape.samples, in.elements()};
  for (int64_t block = 0; block < Tile::blocks(in.shape.samples, in.shape.p, in.shape.d); ++block) {
    const Tile tile = Tile::of_block(in.activations(), in.gradients(), in.shape.length, block);
    auto fetched = std::make_unique<typename Tile::Fetched>();
    std::vector<typename Tile::Sums> sums(Tile::kThreads);
    for (int64_t t = 0; t < in.shape.length; t += Tile::kDepth) {
      for (int thread = 0; thread < Tile::kThreads; ++thread) tile.fetch(thread, t, *fetched);
      for (int thread = 0; thread < Tile::kThreads; ++thread) tile.multiply(thread, t, *fetched, sums[thread]);
    }
    for (int thread = 0; thread < Tile::kThreads; ++thread) tile.write(thread, sums[thread], rows);
  }
  return out.read();
}

TEST(SampleGradients, TilesOfTheGpuCoverEveryEntryOnce) {
  for (const Shape& shape : shapes()) {
    SCOPED_TRACE(testing::Message() << shape.samples << " x " << shape.length << ", " << shape.p << " x " << shape.d);
    Inputs in(shape);
    const auto small = by_tiles<4>(in), large = by_tiles<8>(in);
    expect_gradients(in, small);
    expect_gradients(in, large);
    if (shape.samples < 2 || in.elements() == 0) continue;
    in.a[shape.length * shape.d] = NAN;
    expect_poison_stays(in, small, by_tiles<4>(in));
  }
}

TEST(SampleGradients, RefusesSizesThatDoNotFit) {
  float x[8] = {};
  const auto refused = [&](int64_t rows, int64_t length, MatrixView<float> out) {
    EXPECT_THROW(sample_gradients(Exec::cpu(1), {x, rows, 2}, {x, rows, 1}, length, out), Error);
    EXPECT_THROW(sample_gradients(Exec::cuda(nullptr), {x, rows, 2}, {x, rows, 1}, length, out), Error);
  };
  refused(4, 3, {x, 2, 2});
  refused(4, 2, {x, 2, 3});
  refused(4, 0, {x, 2, 2});
}

}  // namespace
}  // namespace sotto::kernels
