#pragma once
#include "kernels/ghost_norms/ghost_norms_impl.h"
#include "kernels/tensor_tile.h"

// Both ways by tensor cores. A float is the sum of three parts of Bfloat16, and a product of two floats that of six
// products of parts: what the other three make is less than the parts leave over.
namespace sotto::kernels {

// Where a sum is not good enough: of a square, and of a norm, so that neither way adds more than 4e-3 to a square.
constexpr double kWorstGramError = 2e-3, kWorstTensorError = 1e-3;

constexpr int64_t pieces_of(int64_t n, int64_t size) {
  return (n + size - 1) / size;
}

// How the work is cut, and the doubles of the workspace in their order.
struct TensorPlan {
  int gram_side, direct_side;            // of a tile
  int64_t gram_tiles, p_tiles, d_tiles;  // of a sample: tile rows of its Gram matrix, tiles of its gradient
  int64_t rows, samples, of_parts;       // of_parts: for the parts of floats

  SOTTO_HOST_DEVICE int64_t pairs() const { return gram_tiles * (gram_tiles + 1) / 2; }
  SOTTO_HOST_DEVICE int64_t gradient_tiles() const { return p_tiles * d_tiles; }
  SOTTO_HOST_DEVICE int64_t a_norms() const { return 0; }  // ‖a_t‖, raised, a row
  SOTTO_HOST_DEVICE int64_t g_norms() const { return rows; }
  SOTTO_HOST_DEVICE int64_t verdicts() const { return 2 * rows; }                // a sample: kDone or kByGradient
  SOTTO_HOST_DEVICE int64_t gram_parts() const { return verdicts() + samples; }  // two a pair of tiles
  SOTTO_HOST_DEVICE int64_t squares() const { return gram_parts() + 2 * samples * pairs(); }  // one a gradient's tile
  SOTTO_HOST_DEVICE int64_t parts() const {                                                   // at 16 bytes
    return (squares() + samples * gradient_tiles() + 1) / 2 * 2;
  }
  SOTTO_HOST_DEVICE int64_t doubles() const { return parts() + of_parts; }
};
constexpr double kDone = 0, kByGradient = 1;

// Small tiles where a large one would be mostly empty.
inline int tile_side(int64_t n) {
  return n <= 64 ? 64 : 128;
}

template <class T>
TensorPlan plan_tensor_norms(const Segments& segments, int64_t rows, int64_t d, int64_t p) {
  TensorPlan plan{tile_side(segments.length), tile_side(std::max(p, d)), 0, 0, 0, rows, segments.count, 0};
  plan.gram_tiles = pieces_of(segments.length, plan.gram_side);
  plan.p_tiles = pieces_of(p, plan.direct_side);
  plan.d_tiles = pieces_of(d, plan.direct_side);
  if (sizeof(T) == sizeof(float)) plan.of_parts = pieces_of(3 * rows * (d + p), 4);
  return plan;
}

// An operand, or the first part of its floats: the next is `part` elements further.
struct TensorOperand {
  const Bfloat16* data;
  int64_t cols, part;
};

struct TensorInput {
  TensorOperand a, g;
  Segments segments;
  double bias;
  bool of_floats, aligned;  // aligned: every line of eight elements lies at 16 bytes
};

// How many stages a product of `depth` takes.
SOTTO_HOST_DEVICE inline int stages_of(int64_t depth, bool of_floats) {
  return int((depth + kStageDepth - 1) / kStageDepth) * (of_floats ? 6 : 1);
}

// Parts of the two factors for the product `index` of the six, the smallest first, lest they vanish beside the sum.
SOTTO_HOST_DEVICE constexpr int left_part(int index) {
  return 0x010201 >> 4 * index & 15;  // 1 0 2 0 1 0
}
SOTTO_HOST_DEVICE constexpr int right_part(int index) {
  return 0x001021 >> 4 * index & 15;  // 1 2 0 1 0 0
}

// Of all stages of a product, which of the six and which depth stage `index` is. No division where there is one alone.
struct PartStage {
  int product, depth;
};
SOTTO_HOST_DEVICE inline PartStage part_stage(int index, int64_t depth, bool of_floats) {
  if (!of_floats) return {5, index * kStageDepth};
  const int each = stages_of(depth, false);
  return {index / each, index % each * kStageDepth};
}

// x in parts; what is left over is below 2^-24 |x| and 2^-133.
SOTTO_HOST_DEVICE inline void split(float x, Bfloat16 (&parts)[3]) {
  for (Bfloat16& part : parts) {
    part = to_bfloat16(x);
    x -= to_float(part);
  }
}

// Of a sum of `depth` products by stages, over Σ|x||y|. Of floats: the parts' magnitudes are at most 1.008 of theirs,
// the additions after the first 5/6 of the stages are those that see large sums, and the three products left out and
// what the parts leave over are below 5 · 2^-24.
SOTTO_HOST_DEVICE constexpr double product_error(int64_t depth, bool of_floats) {
  return of_floats ? 1.07 * stages_error(depth) + 5 * kFloatUnit : stages_error(depth);
}

// --- by Gram matrices -----------------------------------------------------------------------------------------------

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
  begin_copy<Operand>(block, tile.at(0), 0, shared);
  add_stages<Operand>(block, tile, 0, middle, count, shared, a, is_used);
  add_stages<Operand>(block, tile, middle, count, count, shared, g, is_used);
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
    part.sum += weight * a_dot * g_dot;
    part.error +=
        weight * (a_error * a_norms[s] * a_norms[t] * fabs(g_dot) + g_error * g_norms[s] * g_norms[t] * fabs(a_dot));
  });
  return part;
}

struct SampleTotals {
  double mass, a_square, g_square, a_norm, g_norm;  // Σ‖a_t‖‖g_t‖, Σ‖·‖², Σ‖·‖
};

// Float's range is left neither by a dot product nor by a part.
SOTTO_HOST_DEVICE inline bool in_range(const SampleTotals& totals) {
  return totals.a_square < 0x1p100 && totals.g_square < 0x1p100;
}

// An upper bound on ‖Σ g aᵀ‖² from the sum of its `pairs` parts, or −1 where that is not good enough.
SOTTO_HOST_DEVICE inline double gram_bound(const SampleTotals& x, const GramPart& part, int64_t pairs, int64_t d,
                                           int64_t p, bool of_floats) {
  if (!in_range(x)) return -1;
  const double second_order = product_error(d, of_floats) * product_error(p, of_floats) * x.mass * x.mass;
  const double of_doubles = double(pairs + 1024) * kDoubleUnit * x.mass * x.mass;  // 64 sums a thread, 256 threads
  const double of_underflow =
      6 * kTensorUnderflow *
      (double(d + kStageDepth) * x.g_norm * x.g_norm + double(p + kStageDepth) * x.a_norm * x.a_norm);
  // A part below 2^-134 is lost, times the other factor: Σ_k 2^-133 (|x_k| + |y_k|) a dot product.
  const double of_parts = of_floats ? 0x1p-131 * x.mass * (sqrt(double(d)) * x.g_norm + sqrt(double(p)) * x.a_norm) : 0;
  const double error = (part.error + second_order + of_doubles + of_underflow + of_parts) * (1 + 1e-9);
  return error <= kWorstGramError * part.sum ? part.sum + error : -1;
}

// --- by gradients ---------------------------------------------------------------------------------------------------

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
  begin_copy<Operand>(block, tile.at(0), 0, shared);
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

void accumulate_tensor_ghost_norms(const Exec& exec, const GhostInput& input, VectorView<double> workspace,
                                   VectorView<double> squared);
void accumulate_tensor_ghost_norms(const Exec& exec, const Bfloat16GhostInput& input, VectorView<double> workspace,
                                   VectorView<double> squared);
void accumulate_tensor_direct_norms(const Exec& exec, const GhostInput& input, VectorView<double> workspace,
                                    VectorView<double> squared);
void accumulate_tensor_direct_norms(const Exec& exec, const Bfloat16GhostInput& input, VectorView<double> workspace,
                                    VectorView<double> squared);

}  // namespace sotto::kernels
