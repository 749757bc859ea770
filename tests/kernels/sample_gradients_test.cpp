#include "kernels/sample_gradients/sample_gradients.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "kernels/sample_gradients/sample_gradients_impl.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/instruction_sets.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

TEST(SampleGradients, AreTheSumOfOuterProductsOfTheSamplesOwnRows) {
  std::vector<Shape> shapes = kShapes;
  shapes.push_back({3, 64, 130, 100});
  shapes.push_back({2, 300, 33, 7});
  for (const Shape& shape : shapes)
    for (const InstructionSet set : sets_of_this_machine()) {
      SCOPED_TRACE(testing::Message() << shape.samples << " x " << shape.length << ", " << shape.p << " x " << shape.d << ", " << name_of(set));
      auto a = normal_values(shape.samples * shape.length * shape.d, 1), g = normal_values(shape.samples * shape.length * shape.p, 2);
      const int64_t elements = shape.p * shape.d, rows = shape.samples * shape.length;
      const auto made = [&](int threads) {
        Guarded<float> out(std::vector<float>(shape.samples * elements, NAN), false);
        const MatrixView<const float> activations{a.data(), rows, shape.d}, gradients{g.data(), rows, shape.p};
        const MatrixView<float> to{out.data(), shape.samples, elements};
        if (set != best_instruction_set())
          sample_gradients_cpu(Exec::cpu(threads), activations, gradients, shape.length, to, set);
        else
          sample_gradients(Exec::cpu(threads), activations, gradients, shape.length, to);
        return out.read();
      };
      const std::vector<float> got = made(1);
      EXPECT_EQ(got, made(3));
      for (int64_t i = 0; i < shape.samples; ++i) {
        const auto truth = gradient_of(shape, a, g, i, false);
        // Chains of `length` products of a few units each.
        for (int64_t k = 0; k < elements; ++k)
          ASSERT_NEAR(got[i * elements + k], double(truth[k]), 2.0 * double(shape.length) * 16 * 0x1p-24) << i << ", " << k;
      }
      if (shape.samples < 2 || elements == 0) continue;
      a[shape.length * shape.d] = NAN;  // of sample 1
      const std::vector<float> poisoned = made(1);
      EXPECT_TRUE(std::isnan(poisoned[elements]));
      for (int64_t k = 0; k < shape.samples * elements; ++k)
        if (k / elements != 1) {
          ASSERT_EQ(poisoned[k], got[k]);
        }
    }
  float x[8] = {};
  EXPECT_THROW(sample_gradients(Exec::cpu(1), {x, 4, 2}, {x, 4, 1}, 3, {x, 2, 2}), Error);
  EXPECT_THROW(sample_gradients(Exec::cpu(1), {x, 4, 2}, {x, 4, 1}, 2, {x, 2, 3}), Error);
  EXPECT_THROW(sample_gradients(Exec::cpu(1), {x, 4, 2}, {x, 4, 1}, 0, {x, 2, 2}), Error);
  EXPECT_THROW(sample_gradients(Exec::cuda(nullptr), {x, 4, 2}, {x, 4, 1}, 2, {x, 2, 2}), Error);
}

}  // namespace
}  // namespace sotto::kernels
