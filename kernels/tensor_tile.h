#pragma once
#include "kernels/bfloat16.h"

// A tile of L · Rᵀ over Bfloat16 by tensor cores, as code of a block of threads. Block and its Warp are the device's
// (tensor_tile.cuh) or emulated, so that all of the index maths also runs, and is tested, on a host.
#ifdef __CUDACC__
#define SOTTO_WARP_CODE __device__ __forceinline__
#define SOTTO_UNROLL _Pragma("unroll")
#else
#define SOTTO_WARP_CODE inline
#define SOTTO_UNROLL
#endif

namespace sotto::kernels {

// A warp's part of the tile: 4 x 4 pieces of mma.m16n8k16. Twice its sums, and what it reads, fit a thread's registers.
constexpr int kWarpRows = 64, kWarpColumns = 32;
// A stage is what the block has in shared memory at a time, of either operand: two steps of the mma. The sums of a
// stage start at 0 and are then added to those before, rounded to nearest: were the tensor cores to add to a long sum,
// each step would cut off a part of all of it.
constexpr int kStageDepth = 32;

SOTTO_HOST_DEVICE constexpr int threads_of_tile(int side) {
  return side / kWarpRows * (side / kWarpColumns) * 32;
}

// Of the sums of `depth` products in stages, over the sum of their magnitudes.
SOTTO_HOST_DEVICE constexpr double stages_error(int64_t depth) {
  return tensor_error(kStageDepth) + 1.001 * double((depth + kStageDepth - 1) / kStageDepth) * kFloatUnit;
}
// A product of Bfloat16 below the smallest normal float may be lost, and what is below it in a sum.
constexpr double kTensorUnderflow = 0x1p-125;

// `kLines` lines of `kWidth` elements in shared memory. Eight more a line: the same eight of eight lines, which a warp
// reads together, lie in all 32 banks.
template <int kLines, int kWidth>
struct Panel {
  static constexpr int kStride = kWidth + 8, kSize = kLines * kStride, kPieces = kLines * kWidth / 8;
};

// An operand of a tile: `side` rows by a stage's depth. As it lies in memory, a line is a row, or, transposed, a depth.
template <int kSide, bool kIsTransposed>
struct TileOperand {
  static constexpr bool kTransposed = kIsTransposed;
  using InPanel = Panel<kTransposed ? kStageDepth : kSide, kTransposed ? kSide : kStageDepth>;
  static constexpr int kLinePieces = (kTransposed ? kSide : kStageDepth) / 8;
  SOTTO_HOST_DEVICE static constexpr int offset(int row, int depth) {
    return kTransposed ? depth * InPanel::kStride + row : row * InPanel::kStride + depth;
  }
};

// What a panel gets of a matrix: lines from `row` on, up to `row_end`, and columns from `column` on; zeros elsewhere.
struct Rectangle {
  const Bfloat16* data;
  int64_t cols, row, row_end, column;
};

// Eight elements, 16 bytes: the first `present` from data + from, the others 0.
struct Piece {
  int64_t from;
  int to, present;
};

template <class Operand>
SOTTO_HOST_DEVICE inline Piece piece_of(const Rectangle& source, int index) {
  const int line = index / Operand::kLinePieces, column = index % Operand::kLinePieces * 8;
  const int64_t row = source.row + line, left = source.cols - source.column - column;
  const int present = row >= source.row_end || left <= 0 ? 0 : left < 8 ? int(left) : 8;
  return {present > 0 ? row * source.cols + source.column + column : 0, line * Operand::InPanel::kStride + column,
          present};
}

// Where lane's eight elements for ldmatrix.x4 begin, in the operand's rows and depths: 16 x 16 of the left operand are
// four 8 x 8 matrices in the order (rows, depths) low-low, high-low, low-high, high-high; of the right operand, where
// they are two pieces of 8 columns, low-low, low-high, high-low, high-high. A transposed matrix has its lines in depth.
struct Place {
  int row, depth;
};
SOTTO_HOST_DEVICE constexpr Place matrix_place(int lane, bool left, bool transposed) {
  const int matrix = lane / 8, line = lane % 8;
  const int row_half = left ? matrix % 2 : matrix / 2, depth_half = left ? matrix / 2 : matrix % 2;
  return {row_half * 8 + (transposed ? 0 : line), depth_half * 8 + (transposed ? line : 0)};
}

// Which entry of its 16 x 8 the sum `element` of `lane` is (PTX ISA, fragments of mma.m16n8k16).
SOTTO_HOST_DEVICE constexpr int sum_row(int lane, int element) {
  return lane / 4 + element / 2 * 8;
}
SOTTO_HOST_DEVICE constexpr int sum_column(int lane, int element) {
  return lane % 4 * 2 + element % 2;
}

// The warp's part of the tile.
template <class Warp>
struct WarpTile {
  typename Warp::Float sums[4][4][4] = {};

  // sums += L Rᵀ of one stage, from rows `row` of the left and `column` of the right panel on.
  template <class Operand>
  SOTTO_WARP_CODE void add(const Warp& warp, const Bfloat16* left, const Bfloat16* right, int row, int column) {
    typename Warp::Float stage[4][4][4] = {};
    SOTTO_UNROLL
    for (int depth = 0; depth < kStageDepth; depth += 16) {
      typename Warp::Word of_right[2][4];
      SOTTO_UNROLL
      for (int pair = 0; pair < 2; ++pair)
        warp.template load<Operand::kTransposed>(of_right[pair], right, [&](int lane) {
          const Place place = matrix_place(lane, false, Operand::kTransposed);
          return Operand::offset(column + pair * 16 + place.row, depth + place.depth);
        });
      SOTTO_UNROLL
      for (int m = 0; m < 4; ++m) {
        typename Warp::Word of_left[4];
        warp.template load<Operand::kTransposed>(of_left, left, [&](int lane) {
          const Place place = matrix_place(lane, true, Operand::kTransposed);
          return Operand::offset(row + m * 16 + place.row, depth + place.depth);
        });
        SOTTO_UNROLL
        for (int n = 0; n < 4; ++n)
          warp.multiply(stage[m][n], of_left, of_right[n / 2][n % 2 * 2], of_right[n / 2][n % 2 * 2 + 1]);
      }
    }
    SOTTO_UNROLL
    for (int m = 0; m < 4; ++m) SOTTO_UNROLL
    for (int n = 0; n < 4; ++n) SOTTO_UNROLL
    for (int e = 0; e < 4; ++e) Warp::add(sums[m][n][e], stage[m][n][e]);
  }

  // visit(row, column, m, n, e) of each sum of `lane`, in the warp's part.
  template <class Visit>
  SOTTO_WARP_CODE static void each_sum(int lane, Visit visit) {
    SOTTO_UNROLL
    for (int m = 0; m < 4; ++m) SOTTO_UNROLL
    for (int n = 0; n < 4; ++n) SOTTO_UNROLL
    for (int e = 0; e < 4; ++e) visit(m * 16 + sum_row(lane, e), n * 8 + sum_column(lane, e), m, n, e);
  }
};

// What the block multiplies in one stage; `same`: both panels would be the same, and one is enough.
struct Stage {
  Rectangle left, right;
  bool same;
};

// Both panels of as many stages: one is read while the next three are on their way. 80 KB of a tile of 128.
constexpr int kStagesInFlight = 4;
template <class Operand>
constexpr int kStagedElements = kStagesInFlight * 2 * Operand::InPanel::kSize;

template <class Operand, class Block, class Stages>
SOTTO_WARP_CODE void begin_copy(Block& block, const Stages& stages, int index, int count, Bfloat16* shared) {
  if (index < count) {
    const Stage stage = stages.at(index);
    Bfloat16* const left = shared + index % kStagesInFlight * (2 * Operand::InPanel::kSize);
    block.each_thread([&](int thread) {
      for (int piece = thread; piece < Operand::InPanel::kPieces; piece += Block::kThreads) {
        block.copy(stage.left.data, left, piece_of<Operand>(stage.left, piece));
        if (!stage.same)
          block.copy(stage.right.data, left + Operand::InPanel::kSize, piece_of<Operand>(stage.right, piece));
      }
    });
  }
  block.close_copies();  // of none, too: waiting counts them
}

// Before the first of `count` stages.
template <class Operand, class Block, class Stages>
SOTTO_WARP_CODE void begin_stages(Block& block, const Stages& stages, int count, Bfloat16* shared) {
  for (int index = 0; index < kStagesInFlight - 1; ++index) begin_copy<Operand>(block, stages, index, count, shared);
}

// Stages [begin, end) of `stages`, which has `count` in all.
template <class Operand, class Block, class Stages, class Tiles, class IsUsed>
SOTTO_WARP_CODE void add_stages(Block& block, const Stages& stages, int begin, int end, int count, Bfloat16* shared,
                                Tiles& tiles, const IsUsed& is_used) {
  constexpr int kColumns = Block::kSide / kWarpColumns;
  for (int index = begin; index < end; ++index) {
    // Once all threads are here this stage has come, and all have read the one before: the next copies may overwrite
    // it.
    block.wait_for_oldest();
    begin_copy<Operand>(block, stages, index + kStagesInFlight - 1, count, shared);
    const Bfloat16* const left = shared + index % kStagesInFlight * (2 * Operand::InPanel::kSize);
    const Bfloat16* const right = stages.at(index).same ? left : left + Operand::InPanel::kSize;
    block.each_warp([=, &tiles](const auto& warp, int number) {
      const int row = number / kColumns * kWarpRows, column = number % kColumns * kWarpColumns;
      if (is_used(row, column)) Block::tile(tiles, number).template add<Operand>(warp, left, right, row, column);
    });
  }
}

}  // namespace sotto::kernels
