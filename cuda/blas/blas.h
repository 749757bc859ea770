#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "cuda/exec.h"

namespace sotto {

enum class MatmulType { float32, bfloat16 };  // of the operands; products are floats

// c[i] = op(a[i]) op(b[i]) for i < batch, all row-major: op(a) is [rows, depth], op(b) [depth, cols], c [rows, cols]. A
// transposed operand lies in memory as [depth, rows], or [cols, depth]. Strides are elements from one i to the next.
struct Matmul {
  int64_t rows, cols, depth;
  bool a_transposed, b_transposed;
  MatmulType type;
  int64_t batch = 1, a_stride = 0, b_stride = 0, c_stride = 0;
  auto operator<=>(const Matmul&) const = default;
};

// The same as cuBLAS sees it, by columns: cᵀ = op(b)ᵀ op(a)ᵀ. A matrix there has `rows` neighbours in memory.
struct ColumnMajor {
  int64_t rows, cols;
};
struct ColumnMajorMatmul {
  ColumnMajor first, second, product;  // first: b; second: a
  bool first_transposed, second_transposed;
};
constexpr ColumnMajorMatmul by_columns(const Matmul& x) {
  return {x.b_transposed ? ColumnMajor{x.depth, x.cols} : ColumnMajor{x.cols, x.depth},
          x.a_transposed ? ColumnMajor{x.rows, x.depth} : ColumnMajor{x.depth, x.rows},
          {x.cols, x.rows},
          x.b_transposed,
          x.a_transposed};
}

constexpr int64_t bytes_of(MatmulType type) {
  return type == MatmulType::bfloat16 ? 2 : 4;
}
// What all rows of an operand, and all of a batch, are multiples of: 16 bytes, or one element.
constexpr int64_t alignment_of(MatmulType type, const ColumnMajor& matrix, int64_t stride) {
  const int64_t bytes = bytes_of(type);
  return matrix.rows * bytes % 16 == 0 && stride * bytes % 16 == 0 ? 16 : bytes;
}

// cuBLASLt: a handle, and for each shape that it has met the algorithm that its heuristic chose then, the same whatever
// the batch: the bits of a product do not depend on how many are beside it, which may be private. Sums of float32 are
// of fused multiplications and additions in floats, never of emulations or TF32; those of bfloat16 of tensor cores, in
// floats. None is split over blocks that add up in an order of chance: the same call gives the same bits. Not for two
// threads at once.
class Blas {
 public:
  // Algorithms take at most `workspace_limit` bytes. Loads the library: 0.1 s that other programs do not pay. Throws
  // cuda where there is none, or no device.
  explicit Blas(size_t workspace_limit = size_t{32} << 20);
  ~Blas();
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;

  size_t workspace_limit() const;
  // Chooses the shape's algorithm, which multiply() else does when it meets the shape first: on the host alone. Returns
  // the bytes at `workspace` that it takes. Throws cuda where no algorithm of the library does the shape.
  size_t workspace_bytes(const Matmul& matmul);

  // Nothing is allocated on the device. Where the operands' rows and strides are
  // multiples of 16 bytes, a and b must lie at such; throws invalid_argument.
  void multiply(const Exec& exec, const Matmul& matmul, const void* a, const void* b, float* c, void* workspace);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sotto
