#pragma once
#include "kernels/ghost_norms/tensor_plan.h"

// A sample's norm by tiles of its Gram matrices.
namespace sotto::kernels {

// Of the square: more goes by the gradient.
constexpr double kWorstGramError = 2e-3;

// Pairs (s, t) of tile rows with s ≥ t, in the order of s.
struct TilePair {
  int64_t s, t;
};
SOTTO_HOST_DEVICE inline TilePair tile_pair(int64_t index) {
  int64_t s = int64_t((sqrt(8.0 * double(index) + 1) - 1) / 2);
  while (s * (s + 1) / 2 > index) --s;
  while ((s + 1) * (s + 2) / 2 <= index) ++s;
  return {s, index - s * (s + 1) / 2};
}

// Rows s … and t … of a sample that begins at row `first` and has `rows`: the stages of ⟨a_s, a_t⟩, then of ⟨g_s, g_t⟩.
struct GramStages {
  TensorInput input;
  int64_t first, rows, s, t;

  SOTTO_HOST_DEVICE int of_a() const { return stages_of(input.a.cols, input.of_floats); }
  SOTTO_HOST_DEVICE int count() const { return of_a() + stages_of(input.g.cols, input.of_floats); }
  SOTTO_HOST_DEVICE Stage at(int index) const {
    const bool is_a = index < of_a();
    const TensorOperand x = is_a ? input.a : input.g;
    const auto [product, column] = part_stage(is_a ? index : index - of_a(), x.cols, input.of_floats);
    const int left = left_part(product), right = right_part(product);
    return {{x.data + left * x.part, x.cols, first + s, first + rows, column},
            {x.data + right * x.part, x.cols, first + t, first + rows, column},
            s == t && left == right};
  }
};

// Σ w ⟨a_s, a_t⟩⟨g_s, g_t⟩ over entries with s ≥ t, w = 2 off the diagonal, and a bound on its error but for the second
// order and underflow.
struct GramPart {
  double sum = 0, error = 0;
};

// Whether the part of a warp that begins at (row, column) of the tile holds any such entry.
SOTTO_HOST_DEVICE inline bool holds_pairs(const GramStages& tile, int row, int column) {
  const int64_t s = tile.s + row, t = tile.t + column;
  return s < tile.rows && t < tile.rows && t <= s + kWarpRows - 1;
}

template <class Block, class Tiles>
SOTTO_WARP_CODE void multiply_gram(Block& block, const GramStages& tile, Bfloat16* shared, Tiles& a, Tiles& g) {
  using Operand = TileOperand<Block::kSide, false>;
  const auto is_used = [&](int row, int column) { return holds_pairs(tile, row, column); };
  const int middle = tile.of_a(), count = tile.count();
  if (count == 0) return;
  begin_stages<Operand>(block, tile, count, shared);
  add_stages<Operand>(block, tile, 0, middle, count, shared, a, is_used);
  add_stages<Operand>(block, tile, middle, count, count, shared, g, is_used);
}

// Whether the part of that warp has a place among the sample's sums; what is not among its pairs adds 0.
SOTTO_HOST_DEVICE inline bool has_place(const GramStages& tile, int row, int column) {
  return tile.s + row < tile.rows && tile.t + column <= tile.s + row + kWarpRows - 1;
}

// What the sums of one lane add. Norms are those of the sample's rows, raised.
template <class Warp>
SOTTO_WARP_CODE GramPart gram_part(const GramStages& tile, const WarpTile<Warp>& a, const WarpTile<Warp>& g, int lane,
                                   int row, int column, const double* a_norms, const double* g_norms) {
  const double a_error = product_error(tile.input.a.cols, tile.input.of_floats),
               g_error = product_error(tile.input.g.cols, tile.input.of_floats);
  GramPart part;
  WarpTile<Warp>::each_sum(lane, [&](int of_row, int of_column, int m, int n, int e) {
    const int64_t s = tile.s + row + of_row, t = tile.t + column + of_column;
    if (s >= tile.rows || t > s) return;
    const double weight = s == t ? 1 : 2, a_dot = double(Warp::at(a.sums[m][n][e], lane)) + tile.input.bias,
                 g_dot = double(Warp::at(g.sums[m][n][e], lane));
    // fma, lest the compiler choose for each size of a tile where it fuses.
    const double of_a = a_error * a_norms[s] * a_norms[t], of_g = g_error * g_norms[s] * g_norms[t] * fabs(a_dot);
    part.sum = fma(weight * a_dot, g_dot, part.sum);
    part.error = fma(weight, fma(of_a, fabs(g_dot), of_g), part.error);
  });
  return part;
}

// An upper bound on ‖Σ g aᵀ‖² from the sum of its parts, one a place, or −1 where that is not good enough.
SOTTO_HOST_DEVICE inline double gram_bound(const SampleTotals& x, const GramPart& part, int64_t places, int64_t d,
                                           int64_t p, bool of_floats) {
  if (!in_range(x)) return -1;
  const double second_order = product_error(d, of_floats) * product_error(p, of_floats) * x.mass * x.mass;
  const double of_doubles = double(places + 1024) * kDoubleUnit * x.mass * x.mass;  // a lane sums 64
  const double of_underflow =
      6 * kTensorUnderflow *
      (double(d + kStageDepth) * x.g_norm * x.g_norm + double(p + kStageDepth) * x.a_norm * x.a_norm);
  // A part below 2^-134 is lost, times the other factor: Σ_k 2^-133 (|x_k| + |y_k|) a dot product.
  const double of_parts = of_floats ? 0x1p-131 * x.mass * (sqrt(double(d)) * x.g_norm + sqrt(double(p)) * x.a_norm) : 0;
  const double error = (part.error + second_order + of_doubles + of_underflow + of_parts) * (1 + 1e-9);
  return error <= kWorstGramError * part.sum ? part.sum + error : -1;
}

}  // namespace sotto::kernels
