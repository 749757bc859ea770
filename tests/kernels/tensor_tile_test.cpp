#include "kernels/tensor_tile.h"

#include <set>

#include "base/view.h"
#include "tests/kernels/cases/emulated_block.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

// All stages of one product, the depth along the lines (rows) or across them (transposed).
struct Product {
  MatrixView<const Bfloat16> left, right;
  int64_t from_left, from_right;
  bool transposed, same = false;

  int count() const { return int(((transposed ? left.rows : left.cols) + kStageDepth - 1) / kStageDepth); }
  Stage at(int index) const {
    const int64_t depth = index * kStageDepth;
    if (transposed)
      return {{left.data, left.cols, depth, left.rows, from_left},
              {right.data, right.cols, depth, right.rows, from_right},
              same};
    return {{left.data, left.cols, from_left, left.rows, depth},
            {right.data, right.cols, from_right, right.rows, depth},
            same};
  }
};

template <int kSide, bool kTransposed>
std::vector<float> tile_of(const Product& product, EmulatedWarp warp, bool late) {
  EmulatedBlock<kSide> block(warp, late);
  auto tiles = block.tiles();
  // NaN where nothing is copied to: what is read of it would show.
  std::vector<Bfloat16> shared(kStagedElements<TileOperand<kSide, kTransposed>>, to_bfloat16(NAN));
  using Operand = TileOperand<kSide, kTransposed>;
  begin_stages<Operand>(block, product, product.count(), shared.data());
  add_stages<Operand>(block, product, 0, product.count(), product.count(), shared.data(), tiles,
                      [](int, int) { return true; });
  block.finish();
  std::vector<float> values(kSide * kSide, NAN);
  for (int number = 0; number < int(tiles.size()); ++number)
    for (int lane = 0; lane < 32; ++lane)
      WarpTile<EmulatedWarp>::each_sum(lane, [&](int row, int column, int m, int n, int e) {
        const int columns = kSide / kWarpColumns;
        values[(number / columns * kWarpRows + row) * kSide + number % columns * kWarpColumns + column] =
            tiles[number].sums[m][n][e].of[lane];
      });
  return values;
}

std::vector<float> tile_of(int side, const Product& product, EmulatedWarp warp = EmulatedWarp(), bool late = false) {
  if (side == 64)
    return product.transposed ? tile_of<64, true>(product, warp, late) : tile_of<64, false>(product, warp, late);
  return product.transposed ? tile_of<128, true>(product, warp, late) : tile_of<128, false>(product, warp, late);
}

// An entry of the product and the sum of its terms' magnitudes.
std::pair<double, double> entry_of(const Product& product, int64_t row, int64_t column) {
  const auto at = [&](const MatrixView<const Bfloat16>& x, int64_t line, int64_t depth) {
    if (product.transposed) std::swap(line, depth);
    return line < x.rows && depth < x.cols ? double(value_of(x.data[line * x.cols + depth])) : 0.0;
  };
  double sum = 0, mass = 0;
  for (int64_t k = 0; k < product.count() * kStageDepth; ++k) {
    const double term =
        at(product.left, product.from_left + row, k) * at(product.right, product.from_right + column, k);
    sum += term, mass += std::fabs(term);
  }
  return {sum, mass};
}

std::vector<Bfloat16> small_integers(int64_t count, uint64_t seed) {
  std::mt19937_64 rng(seed);
  std::vector<Bfloat16> values;
  for (int64_t k = 0; k < count; ++k) values.push_back(to_bfloat16(float(int(rng() % 17) - 8)));
  return values;
}

TEST(TensorTile, EveryEntryIsItsDotProductWhateverTheShape) {
  // Products of small integers are exact in any order: a wrong index shows, whatever it is.
  for (const bool transposed : {false, true})
    for (const int side : {64, 128})
      for (const bool late : {false, true})
        for (const auto& [lines, width] :
             {std::pair<int64_t, int64_t>{200, 40}, {7, 33}, {130, 104}, {65, 8}, {70, 250}}) {
          const int64_t rows = transposed ? width : lines, columns = transposed ? lines : width;
          const auto left = small_integers(rows * columns, 1), right = small_integers(rows * columns, 2);
          const int64_t from = lines > side ? side : 0;  // a whole tile, or one that ends inside
          const Product product{{left.data(), rows, columns}, {right.data(), rows, columns}, from, 0, transposed};
          const auto values = tile_of(side, product, EmulatedWarp(), late);
          for (int64_t row = 0; row < side; ++row)
            for (int64_t column = 0; column < side; ++column)
              ASSERT_EQ(values[row * side + column], entry_of(product, row, column).first)
                  << "side " << side << (transposed ? " transposed" : "") << " " << lines << "x" << width << " at "
                  << row << ", " << column;
        }
}

TEST(TensorTile, OnePanelServesBothOperandsOfADiagonalTile) {
  const auto x = small_integers(100 * 70, 3);
  Product product{{x.data(), 100, 70}, {x.data(), 100, 70}, 0, 0, false};
  const auto twice = tile_of(128, product);
  product.same = true;
  EXPECT_EQ(tile_of(128, product), twice);
}

TEST(TensorTile, SumsAreWithinTheirBoundHoweverABlockOfProductsIsCutOff) {
  std::mt19937_64 rng(7);
  double worst = 0;
  for (const int of_block : {4, 8, 16})
    for (int round = 0; round < 8; ++round) {
      const int64_t depth = 1 + int64_t(rng() % 200), rows = 64;
      auto left = adversarial_values(rows, depth, rng), right = adversarial_values(rows, depth, rng);
      if (round < 3) {  // all of one sign, and just above a power of two: every term is cut off, never up
        for (auto* values : {&left, &right})
          for (float& value : *values) value = std::fabs(value) > 0 ? 1 + float(rng() % 128) / 128 : 1.0f;
      }
      for (auto* values : {&left, &right})
        for (float& value : *values) value = std::ldexp(value, std::fabs(value) > 1e15f ? -60 : 0);
      const auto left_in = rounded(left), right_in = rounded(right);
      const Product product{{left_in.data(), rows, depth}, {right_in.data(), rows, depth}, 0, 0, false};
      const auto values = tile_of(64, product, EmulatedWarp(of_block));
      for (int64_t row = 0; row < rows; ++row)
        for (int64_t column = 0; column < rows; ++column) {
          const auto [truth, mass] = entry_of(product, row, column);
          const double error = std::fabs(values[row * 64 + column] - truth);
          ASSERT_LE(error, stages_error(depth) * mass + double(depth + 32) * kTensorUnderflow) << "round " << round;
          if (mass > 1e-20) worst = std::max(worst, error / mass);
        }
    }
  // Sums that were rounded to nearest would not come so far: the emulation does cut off.
  EXPECT_GT(worst, 4 * kFloatUnit);
}

TEST(TensorTile, ASampleOfFewRowsReadsNothingPastThem) {
  // Rows past the sample's end are another's: they must count as zeros, and not be NaN times zero.
  std::vector<Bfloat16> x = small_integers(20 * 24, 4);
  for (size_t k = 9 * 24; k < x.size(); ++k) x[k] = to_bfloat16(NAN);
  const Product product{{x.data(), 9, 24}, {x.data(), 9, 24}, 0, 0, false};
  for (const float value : tile_of(64, product)) ASSERT_TRUE(std::isfinite(value));
}

TEST(TensorTile, PiecesCoverAPanelOnceAndStayInsideTheMatrix) {
  using Operand = TileOperand<128, false>;
  const Bfloat16 none{};
  const Rectangle source{&none, 40, 100, 180, 32};  // 80 lines of 8 columns
  std::set<int> places;
  int64_t present = 0;
  for (int index = 0; index < Operand::InPanel::kPieces; ++index) {
    const Piece piece = piece_of<Operand>(source, index);
    ASSERT_TRUE(places.insert(piece.to).second);
    ASSERT_EQ(piece.to % 8, 0) << "16 bytes";
    ASSERT_LE(piece.to + 8, Operand::InPanel::kSize);
    if (piece.present == 0) continue;
    ASSERT_EQ(piece.from % 8, 0) << "aligned where the columns are";
    ASSERT_LE(piece.from + piece.present, 180 * 40);
    present += piece.present;
  }
  EXPECT_EQ(places.size(), 128u * 4);
  EXPECT_EQ(present, 80 * 8);
}

// Eight lines of 16 bytes that a matrix load reads together: no two in the same of the 32 banks of 4 bytes.
TEST(TensorTile, LoadsOfAMatrixMeetNoBankTwice) {
  const auto banks_of = [](auto operand, bool left) {
    using Operand = decltype(operand);
    for (int q = 0; q < 4; ++q) {
      std::set<int> banks;
      for (int line = 0; line < 8; ++line) {
        const Place place = matrix_place(8 * q + line, left, Operand::kTransposed);
        for (int word = 0; word < 4; ++word) banks.insert((Operand::offset(place.row, place.depth) / 2 + word) % 32);
      }
      EXPECT_EQ(banks.size(), 32u);
    }
  };
  for (const bool left : {false, true}) {
    banks_of(TileOperand<64, false>{}, left);
    banks_of(TileOperand<64, true>{}, left);
    banks_of(TileOperand<128, false>{}, left);
    banks_of(TileOperand<128, true>{}, left);
  }
}

}  // namespace
}  // namespace sotto::kernels
