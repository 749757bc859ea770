#include "cuda/blas/blas.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "base/error.h"
#include "cuda/device_array.h"

namespace sotto {
namespace {

const Matmul kProducts[] = {
    {3, 5, 7, false, false, MatmulType::float32},
    {3, 5, 7, true, false, MatmulType::float32, 2, 40, 41, 20},
    {4, 2, 6, false, true, MatmulType::float32, 3, 24, 12, 8},
    {5, 3, 2, true, true, MatmulType::float32, 2, 10, 6, 15},
    {16, 24, 64, true, false, MatmulType::float32, 4, 64 * 16, 64 * 24, 16 * 24},
};

std::vector<float> integers(size_t count, uint64_t seed) {  // sums of their products are exact in floats
  std::mt19937_64 rng(seed);
  std::vector<float> values(count);
  for (float& value : values) value = float(int(rng() % 15) - 7);
  return values;
}

size_t elements(const Matmul& x, int64_t each, int64_t stride) {
  return static_cast<size_t>((x.batch - 1) * stride + each);
}

// The definition.
std::vector<float> product_of(const Matmul& x, const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<float> c(elements(x, x.rows * x.cols, x.c_stride), -1.0f);
  for (int64_t n = 0; n < x.batch; ++n)
    for (int64_t i = 0; i < x.rows; ++i)
      for (int64_t j = 0; j < x.cols; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < x.depth; ++k)
          sum += double(a[n * x.a_stride + (x.a_transposed ? k * x.rows + i : i * x.depth + k)]) *
                 double(b[n * x.b_stride + (x.b_transposed ? j * x.depth + k : k * x.cols + j)]);
        c[n * x.c_stride + i * x.cols + j] = float(sum);
      }
  return c;
}

// What a library does that stores matrices by columns: product = op(first) op(second).
TEST(Blas, ByColumnsTheProductOfTheSwappedOperandsIsTheSame) {
  for (const Matmul& x : kProducts) {
    const ColumnMajorMatmul columns = by_columns(x);
    const auto a = integers(elements(x, x.rows * x.depth, x.a_stride), 1),
               b = integers(elements(x, x.depth * x.cols, x.b_stride), 2);
    std::vector<float> c(elements(x, x.rows * x.cols, x.c_stride), -1.0f);
    const auto at = [](const ColumnMajor& matrix, bool transposed, int64_t row, int64_t column) {
      if (transposed) std::swap(row, column);
      EXPECT_LT(row, matrix.rows);
      EXPECT_LT(column, matrix.cols);
      return column * matrix.rows + row;
    };
    const int64_t depth = columns.first_transposed ? columns.first.rows : columns.first.cols;
    for (int64_t n = 0; n < x.batch; ++n)
      for (int64_t row = 0; row < columns.product.rows; ++row)
        for (int64_t column = 0; column < columns.product.cols; ++column) {
          float sum = 0;
          for (int64_t k = 0; k < depth; ++k)
            sum += b[n * x.b_stride + at(columns.first, columns.first_transposed, row, k)] *
                   a[n * x.a_stride + at(columns.second, columns.second_transposed, k, column)];
          c[n * x.c_stride + at(columns.product, false, row, column)] = sum;
        }
    EXPECT_EQ(c, product_of(x, a, b)) << x.rows << "x" << x.cols << " of " << x.depth;
  }
}

TEST(Blas, OperandsAreAsAlignedAsTheirRowsAndSteps) {
  EXPECT_EQ(alignment_of(MatmulType::bfloat16, {8, 3}, 24), 16);
  EXPECT_EQ(alignment_of(MatmulType::bfloat16, {12, 3}, 48), 2);
  EXPECT_EQ(alignment_of(MatmulType::bfloat16, {8, 3}, 12), 2);
  EXPECT_EQ(alignment_of(MatmulType::float32, {12, 3}, 36), 16);
  EXPECT_EQ(alignment_of(MatmulType::float32, {3, 3}, 12), 4);
}

TEST(Blas, OnCudaMultiplies) {
  if (!cuda_present()) GTEST_SKIP() << "no CUDA device on this machine";
  Blas blas;
  const Exec exec = Exec::cuda(nullptr);
  for (const Matmul& shape : kProducts)
    for (const MatmulType type : {MatmulType::float32, MatmulType::bfloat16}) {
      Matmul x = shape;
      x.type = type;
      const auto a = integers(elements(x, x.rows * x.depth, x.a_stride), 1),
                 b = integers(elements(x, x.depth * x.cols, x.b_stride), 2);
      const auto halves = [](const std::vector<float>& values) {  // the upper half of a small integer is all of it
        std::vector<uint16_t> made;
        for (const float value : values) {
          uint32_t bits;
          std::memcpy(&bits, &value, sizeof(bits));
          made.push_back(uint16_t(bits >> 16));
        }
        return made;
      };
      DeviceArray<float> a_wide(a), b_wide(b), c(std::vector<float>(elements(x, x.rows * x.cols, x.c_stride), -1.0f));
      DeviceArray<uint16_t> a_narrow(halves(a)), b_narrow(halves(b));
      DeviceArray<char> workspace(std::vector<char>(blas.workspace_bytes(x) + 1));
      const bool narrow = type == MatmulType::bfloat16;
      for (int twice = 0; twice < 2; ++twice)
        blas.multiply(exec, x, narrow ? static_cast<const void*>(a_narrow.data()) : a_wide.data(),
                      narrow ? static_cast<const void*>(b_narrow.data()) : b_wide.data(), c.data(), workspace.data());
      synchronise(exec);
      EXPECT_EQ(c.to_host(), product_of(x, a, b))
          << x.rows << "x" << x.cols << " of " << x.depth << (narrow ? " narrow" : "");
    }
  EXPECT_THROW(blas.workspace_bytes({0, 1, 1, false, false, MatmulType::float32}), Error);
}

TEST(Blas, NeedsADevice) {
  try {
    const Blas blas;
    EXPECT_TRUE(cuda_present()) << "made of nothing";
  } catch (const Error& error) {
    EXPECT_FALSE(cuda_present()) << error.what();
    EXPECT_EQ(error.kind(), ErrorKind::cuda);
  }
}

}  // namespace
}  // namespace sotto
