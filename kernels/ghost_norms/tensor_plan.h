#pragma once
#include <algorithm>

#include "kernels/ghost_norms/ghost_norms_impl.h"
#include "kernels/tensor_tile.h"

// What both ways by tensor cores share. A float is the sum of three parts of Bfloat16, and a product of two floats that
// of six products of parts: what the other three make is less than the parts leave over.
namespace sotto::kernels {

// Parts of a sample's sums, one a warp's part of a tile (64 x 32), in an order that depends neither on the tile's side
// nor on other samples: what a sample adds is a function of the sample alone. Rows s of a Gram matrix are multiples of
// 64, columns t of 32, up to the end of the 64 of the diagonal.
SOTTO_HOST_DEVICE inline int64_t gram_place(int64_t s, int64_t t) {
  return s / kWarpRows * (s / kWarpRows + 1) + t / kWarpColumns;
}
SOTTO_HOST_DEVICE inline int64_t gram_places(int64_t rows) {
  const int64_t n = (rows + kWarpRows - 1) / kWarpRows;
  return n * (n + 1);
}
SOTTO_HOST_DEVICE inline int64_t gradient_place(int64_t i, int64_t j, int64_t d) {
  return i / kWarpRows * ((d + kWarpColumns - 1) / kWarpColumns) + j / kWarpColumns;
}
SOTTO_HOST_DEVICE inline int64_t gradient_places(int64_t p, int64_t d) {
  return (p + kWarpRows - 1) / kWarpRows * ((d + kWarpColumns - 1) / kWarpColumns);
}

// How the work is cut, and the doubles of the workspace in their order.
struct TensorPlan {
  int64_t rows, samples, length, d, p, of_parts;  // of_parts: for the parts of floats
  int gram_side, direct_side;                     // of a tile

  SOTTO_HOST_DEVICE static int64_t tiles(int64_t n, int side) { return (n + side - 1) / side; }
  SOTTO_HOST_DEVICE static int64_t pairs(int64_t n, int side) { return tiles(n, side) * (tiles(n, side) + 1) / 2; }
  SOTTO_HOST_DEVICE int64_t pairs() const { return pairs(length, gram_side); }
  SOTTO_HOST_DEVICE int64_t d_tiles() const { return tiles(d, direct_side); }
  SOTTO_HOST_DEVICE int64_t gradient_tiles() const { return tiles(p, direct_side) * d_tiles(); }

  SOTTO_HOST_DEVICE int64_t a_norms() const { return 0; }  // ‖a_t‖, raised, a row
  SOTTO_HOST_DEVICE int64_t g_norms() const { return rows; }
  SOTTO_HOST_DEVICE int64_t verdicts() const { return 2 * rows; }  // a sample: kDone or kByGradient
  SOTTO_HOST_DEVICE int64_t gram_parts(int64_t sample) const {     // two a place
    return verdicts() + samples + 2 * sample * gram_places(length);
  }
  SOTTO_HOST_DEVICE int64_t squares(int64_t sample) const {  // one a place
    return gram_parts(samples) + sample * gradient_places(p, d);
  }
  SOTTO_HOST_DEVICE int64_t parts() const { return (squares(samples) + 1) / 2 * 2; }  // at 16 bytes
  SOTTO_HOST_DEVICE int64_t doubles() const { return parts() + of_parts; }
};
constexpr double kDone = 0, kByGradient = 1;

// Small tiles where a large one would be mostly empty, or leave multiprocessors without work: 264 is twice an H100's.
constexpr int64_t kManyTiles = 264;

template <class T>
TensorPlan plan_tensor_norms(const Segments& segments, int64_t rows, int64_t d, int64_t p) {
  const auto side = [](int64_t largest, int64_t tiles) { return largest <= 64 || tiles < kManyTiles ? 64 : 128; };
  const int64_t count = segments.count, length = segments.length;
  const int64_t of_parts = sizeof(T) == sizeof(float) ? (3 * rows * (d + p) + 3) / 4 : 0;
  return {rows,
          count,
          length,
          d,
          p,
          of_parts,
          side(length, count * TensorPlan::pairs(length, 128)),
          side(std::max(p, d), count * TensorPlan::tiles(p, 128) * TensorPlan::tiles(d, 128))};
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

// Of a sum of `depth` products by stages, over Σ|x||y|. Of floats: the parts' magnitudes are at most 1.008 of theirs;
// only the last sixth of the stages is added to large sums, the first five to less than 2^-6 of that; and the three
// products left out and what the parts leave over are below 5 · 2^-24.
SOTTO_HOST_DEVICE constexpr double product_error(int64_t depth, bool of_floats) {
  return of_floats ? 1.07 * stages_error(depth) + 5 * kFloatUnit : stages_error(depth);
}

struct SampleTotals {
  double mass, a_square, g_square, a_norm, g_norm;  // Σ‖a_t‖‖g_t‖, Σ‖·‖², Σ‖·‖
};

// Float's range is left neither by a dot product nor by a part.
SOTTO_HOST_DEVICE inline bool in_range(const SampleTotals& totals) {
  return totals.a_square < 0x1p100 && totals.g_square < 0x1p100;
}

}  // namespace sotto::kernels
