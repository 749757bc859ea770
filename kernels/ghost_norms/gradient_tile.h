#pragma once
#include "kernels/ghost_norms/tensor_plan.h"

// A sample's norm by tiles of its gradient.
namespace sotto::kernels {

// Of the norm, so that neither way adds more than 4e-3 to a square: more is summed in double.
constexpr double kWorstTensorError = 1e-3;

// Rows i … and columns j … of a sample's gradient Σ_t g_t a_tᵀ.
struct GradientStages {
  TensorInput input;
  int64_t first, rows, i, j;

  SOTTO_HOST_DEVICE int count() const { return stages_of(rows, input.of_floats); }
  SOTTO_HOST_DEVICE Stage at(int index) const {
    const auto [product, depth] = part_stage(index, rows, input.of_floats);
    const int64_t row = first + depth;
    return {{input.g.data + left_part(product) * input.g.part, input.g.cols, row, first + rows, i},
            {input.a.data + right_part(product) * input.a.part, input.a.cols, row, first + rows, j},
            false};
  }
};

template <class Block, class Tiles>
SOTTO_WARP_CODE void multiply_gradient(Block& block, const GradientStages& tile, Bfloat16* shared, Tiles& sums) {
  using Operand = TileOperand<Block::kSide, true>;
  const int count = tile.count();
  if (count == 0) return;
  begin_stages<Operand>(block, tile, count, shared);
  add_stages<Operand>(block, tile, 0, count, count, shared, sums, [&](int row, int column) {
    return tile.i + row < tile.input.g.cols && tile.j + column < tile.input.a.cols;
  });
}

// Σ of the squares of one lane's sums; those past an edge are 0.
template <class Warp>
SOTTO_WARP_CODE double squares_of(const WarpTile<Warp>& tile, int lane) {
  double squares = 0;
  WarpTile<Warp>::each_sum(lane, [&](int, int, int m, int n, int e) {
    const double sum = Warp::at(tile.sums[m][n][e], lane);
    squares += sum * sum;
  });
  return squares;
}

// An upper bound on ‖Σ g aᵀ‖² + bias_square from the squares' sum, or −1 where that is not good enough. An entry is off
// by at most e Σ_t |g_ti||a_tj|, all of them by e · mass.
SOTTO_HOST_DEVICE inline double gradient_bound(const SampleTotals& x, double squares, double bias_square, int64_t rows,
                                               int64_t d, int64_t p, bool of_floats) {
  if (!in_range(x)) return -1;
  const double norm = sqrt(raised(squares, p * d)) * (1 + 4 * kDoubleUnit);
  const double of_underflow = 6 * kTensorUnderflow * double(rows + kStageDepth) * sqrt(double(d) * double(p));
  const double of_parts = of_floats ? 0x1p-132 * (sqrt(double(d)) * x.g_norm + sqrt(double(p)) * x.a_norm) : 0;
  const double error = product_error(rows, of_floats) * x.mass + of_underflow + of_parts;
  if (!(error <= kWorstTensorError * norm)) return -1;
  return ((norm + error) * (norm + error) + bias_square) * (1 + 8 * kDoubleUnit);
}

}  // namespace sotto::kernels
