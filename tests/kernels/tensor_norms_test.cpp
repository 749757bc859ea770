#include <set>

#include "kernels/ghost_norms/tensor_norms_impl.h"
#include "tests/kernels/cases/emulated_block.h"
#include "tests/kernels/cases/samples.h"

// The blocks of tensor_norms.cu on an emulation of their threads: what a device adds to this are launches.
namespace sotto::kernels {
namespace {

// The second of three samples; NaN on both sides of it.
struct Batch {
  Shape shape;  // of one sample
  bool of_floats, bias;
  std::vector<float> a, g;  // of the sample alone
  std::vector<Bfloat16> a_parts, g_parts;
  std::vector<int64_t> starts;

  TensorInput input() const {
    const int64_t rows = starts[3];
    return {{a_parts.data(), shape.d, of_floats ? rows * shape.d : 0},
            {g_parts.data(), shape.p, of_floats ? rows * shape.p : 0},
            {3, shape.length + 3, starts.data()},
            bias ? 1.0 : 0.0,
            of_floats,
            false};
  }
};

std::vector<Bfloat16> parts_of(const std::vector<float>& own, int64_t cols, bool of_floats) {
  std::vector<float> all(2 * cols, NAN);
  all.insert(all.end(), own.begin(), own.end());
  all.resize(all.size() + 3 * cols, NAN);
  std::vector<Bfloat16> made(all.size() * (of_floats ? 3 : 1));
  for (size_t k = 0; k < all.size(); ++k) {
    Bfloat16 parts[3];
    split(all[k], parts);
    for (size_t part = 0; part < made.size() / all.size(); ++part) made[part * all.size() + k] = parts[part];
  }
  return made;
}

Batch batch_of(const Shape& shape, bool of_floats, bool bias, std::vector<float> a, std::vector<float> g) {
  if (!of_floats) a = values_of(rounded(a)), g = values_of(rounded(g));
  return {shape,
          of_floats,
          bias,
          a,
          g,
          parts_of(a, shape.d, of_floats),
          parts_of(g, shape.p, of_floats),
          {0, 2, 2 + shape.length, 5 + shape.length}};
}

struct Rows {
  std::vector<double> a, g;
  SampleTotals totals{};
};

Rows rows_of(const Batch& batch) {
  Rows rows;
  const Shape& shape = batch.shape;
  for (int64_t t = 0; t < shape.length; ++t) {
    long double a = batch.bias ? 1 : 0, g = 0;
    for (int64_t j = 0; j < shape.d; ++j)
      a += static_cast<long double>(batch.a[t * shape.d + j]) * batch.a[t * shape.d + j];
    for (int64_t i = 0; i < shape.p; ++i)
      g += static_cast<long double>(batch.g[t * shape.p + i]) * batch.g[t * shape.p + i];
    rows.a.push_back(double(std::sqrt(a)) * (1 + 1e-15));
    rows.g.push_back(double(std::sqrt(g)) * (1 + 1e-15));
    rows.totals.mass += rows.a[t] * rows.g[t] * (1 + 1e-15);
    rows.totals.a_square += double(a), rows.totals.g_square += double(g);
    rows.totals.a_norm += rows.a[t], rows.totals.g_norm += rows.g[t];
  }
  return rows;
}

struct Way {
  int side;
  EmulatedWarp warp = EmulatedWarp();
  bool late = false;
};

// What lanes add up to, in an order that is always the same.
double sum_of_lanes(std::vector<double> lanes) {
  for (size_t apart = 16; apart > 0; apart /= 2)
    for (size_t lane = 0; lane < apart; ++lane) lanes[lane] += lanes[lane + apart];
  return lanes[0];
}

// One sum a place of the workspace, each written once.
class Places {
 public:
  explicit Places(int64_t count) : values_(count), written_(count) {}
  void write(int64_t place, double value) {
    ASSERT_GE(place, 0);
    ASSERT_LT(place, int64_t(values_.size()));
    values_[place] = value;
    ++written_[place];
  }
  const std::vector<double>& all() const {
    EXPECT_EQ(written_, std::vector<int>(written_.size(), 1)) << "each place is written once";
    return values_;
  }

 private:
  std::vector<double> values_;
  std::vector<int> written_;
};

struct GramSums {
  std::vector<double> sums, errors;
};

// As sum_gram_tiles_kernel.
template <int kSide>
GramSums gram_sums(const Batch& batch, const Way& way) {
  const TensorInput input = batch.input();
  const int64_t first = input.segments.first(1), length = input.segments.rows(1);
  const Rows rows = rows_of(batch);
  Places sums(gram_places(length)), errors(gram_places(length));
  for (int64_t index = 0; index < TensorPlan::pairs(length, kSide); ++index) {
    const TilePair pair = tile_pair(index);
    const GramStages tile{input, first, length, pair.s * kSide, pair.t * kSide};
    EmulatedBlock<kSide> block(way.warp, way.late);
    auto a = block.tiles(), g = block.tiles();
    std::vector<Bfloat16> shared(kStagedElements<TileOperand<kSide, false>>, to_bfloat16(NAN));
    multiply_gram(block, tile, shared.data(), a, g);
    block.finish();
    for (int number = 0; number < int(a.size()); ++number) {
      const int columns = kSide / kWarpColumns, row = number / columns * kWarpRows,
                column = number % columns * kWarpColumns;
      if (!has_place(tile, row, column)) continue;
      std::vector<double> of_sum, of_error;
      for (int lane = 0; lane < 32; ++lane) {
        const GramPart part = gram_part(tile, a[number], g[number], lane, row, column, rows.a.data(), rows.g.data());
        of_sum.push_back(part.sum), of_error.push_back(part.error);
      }
      sums.write(gram_place(tile.s + row, tile.t + column), sum_of_lanes(of_sum));
      errors.write(gram_place(tile.s + row, tile.t + column), sum_of_lanes(of_error));
    }
  }
  return {sums.all(), errors.all()};
}
GramSums gram_sums(const Batch& batch, const Way& way) {
  return way.side == 64 ? gram_sums<64>(batch, way) : gram_sums<128>(batch, way);
}

// As finish_gram_kernel.
double gram_square(const Batch& batch, const Way& way) {
  const GramSums of = gram_sums(batch, way);
  GramPart part;
  for (size_t k = 0; k < of.sums.size(); ++k) part.sum += of.sums[k], part.error += of.errors[k];
  return gram_bound(rows_of(batch).totals, part, int64_t(of.sums.size()), batch.shape.d, batch.shape.p,
                    batch.of_floats);
}

// As sum_gradient_tiles_kernel.
template <int kSide>
std::vector<double> gradient_sums(const Batch& batch, const Way& way) {
  const TensorInput input = batch.input();
  const int64_t d = batch.shape.d, p = batch.shape.p;
  Places squares(gradient_places(p, d));
  for (int64_t i = 0; i < p; i += kSide)
    for (int64_t j = 0; j < d; j += kSide) {
      const GradientStages tile{input, input.segments.first(1), input.segments.rows(1), i, j};
      EmulatedBlock<kSide> block(way.warp, way.late);
      auto sums = block.tiles();
      std::vector<Bfloat16> shared(kStagedElements<TileOperand<kSide, true>>, to_bfloat16(NAN));
      multiply_gradient(block, tile, shared.data(), sums);
      block.finish();
      for (int number = 0; number < int(sums.size()); ++number) {
        const int columns = kSide / kWarpColumns;
        const int64_t row = i + number / columns * kWarpRows, column = j + number % columns * kWarpColumns;
        if (row >= p || column >= d) continue;
        std::vector<double> lanes;
        for (int lane = 0; lane < 32; ++lane) lanes.push_back(squares_of(sums[number], lane));
        squares.write(gradient_place(row, column, d), sum_of_lanes(lanes));
      }
    }
  return squares.all();
}
std::vector<double> gradient_sums(const Batch& batch, const Way& way) {
  return way.side == 64 ? gradient_sums<64>(batch, way) : gradient_sums<128>(batch, way);
}

// As finish_gradient_kernel.
double gradient_square(const Batch& batch, const Way& way) {
  double squares = 0;
  for (const double square : gradient_sums(batch, way)) squares += square;
  long double bias_square = 0;
  for (int64_t i = 0; batch.bias && i < batch.shape.p; ++i) {
    long double sum = 0;
    for (int64_t t = 0; t < batch.shape.length; ++t) sum += batch.g[t * batch.shape.p + i];
    bias_square += sum * sum;
  }
  return gradient_bound(rows_of(batch).totals, squares, double(bias_square) * (1 + 1e-15), batch.shape.length,
                        batch.shape.d, batch.shape.p, batch.of_floats);
}

struct Bounds {
  double by_gram, by_gradient;
};
Bounds bounds_of(const Batch& batch, const Way& way) {
  return {gram_square(batch, way), gradient_square(batch, way)};
}

// Never below the square of the gradient's norm, and where it is a bound at all, by at most what the worst error
// allows.
void expect_bounds(const Batch& batch, const Bounds& got, int round) {
  const long double truth = square_of(gradient_of(batch.shape, batch.a, batch.g, 0, batch.bias));
  for (const double bound : {got.by_gram, got.by_gradient}) {
    if (bound < 0) continue;
    ASSERT_GE(bound, truth) << "round " << round << (bound == got.by_gram ? " gram" : " gradient");
    ASSERT_LE(bound, truth * 1.00402L) << "round " << round << (bound == got.by_gram ? " gram" : " gradient");
  }
}

const std::vector<Shape> kSamples = {{1, 1, 8, 8},     {1, 5, 40, 17}, {1, 64, 72, 33}, {1, 70, 33, 130},
                                     {1, 150, 40, 24}, {1, 3, 0, 6},   {1, 33, 1, 1},   {1, 129, 64, 65}};

TEST(TensorNorms, BothWaysBoundTheNormOfBfloat16AndOfFloats) {
  for (const Shape& shape : kSamples)
    for (const bool of_floats : {false, true})
      for (const bool bias : {false, true}) {
        const Batch batch = batch_of(shape, of_floats, bias, normal_values(shape.length * shape.d, 1),
                                     normal_values(shape.length * shape.p, 2));
        const Bounds got = bounds_of(batch, {bias ? 64 : 128, EmulatedWarp(of_floats ? 16 : 8), bias});
        if (shape.d > 1) {  // one number a row cancels by chance
          EXPECT_GT(got.by_gram, 0) << "T=" << shape.length;
        }
        if (shape.d > 1) {
          EXPECT_GT(got.by_gradient, 0) << "T=" << shape.length;
        }
        expect_bounds(batch, got, int(shape.length));
      }
}

TEST(TensorNorms, NeverFallBelowTheTruthOnAdversarialSamples) {
  std::mt19937_64 rng(31);
  int bounds = 0;
  for (int round = 0; round < 240; ++round) {
    const Shape shape{1, 1 + int64_t(rng() % 20), int64_t(rng() % 40), 1 + int64_t(rng() % 20)};
    const bool of_floats = rng() % 2, bias = rng() % 2;
    const Batch batch = batch_of(shape, of_floats, bias, adversarial_values(shape.length, shape.d, rng),
                                 adversarial_values(shape.length, shape.p, rng));
    const Bounds got = bounds_of(batch, {64, EmulatedWarp(4 << rng() % 3), rng() % 2 == 0});
    expect_bounds(batch, got, round);
    bounds += (got.by_gram >= 0) + (got.by_gradient >= 0);
  }
  EXPECT_GT(bounds, 100);  // or the above would say little
}

TEST(TensorNorms, ASampleThatCancelsGoesByItsGradientAndThenByDoubles) {
  const Shape shape{1, 64, 64, 64};
  std::mt19937_64 rng(5);
  std::normal_distribution<float> normal;
  for (const auto& [tiny, gram, gradient] :
       {std::tuple{1.0f, true, true}, {1e-1f, false, true}, {1e-5f, false, false}}) {
    std::vector<float> a(64 * 64), g(64 * 64);
    for (int64_t k = 0; k < 64 * 64; ++k) {
      a[k] = 1 + tiny * normal(rng);
      g[k] = (k / 64 % 2 ? -1.0f : 1.0f) * (1 + tiny * normal(rng));
    }
    const Batch batch = batch_of(shape, true, false, a, g);
    const Bounds got = bounds_of(batch, {64});
    EXPECT_EQ(got.by_gram >= 0, gram) << tiny;
    EXPECT_EQ(got.by_gradient >= 0, gradient) << tiny;
    expect_bounds(batch, got, 0);
  }
}

TEST(TensorNorms, ValuesThatLeaveFloatsRangeAreLeftToDoubles) {
  for (const float value : {1e20f, 1e-37f}) {
    const Shape shape{1, 4, 16, 16};
    const Batch batch = batch_of(shape, true, false, std::vector<float>(64, value), std::vector<float>(64, 1.0f));
    const Bounds got = bounds_of(batch, {64});
    EXPECT_LT(got.by_gram, 0) << value;
    EXPECT_LT(got.by_gradient, 0) << value;
  }
}

TEST(TensorNorms, AFloatIsTheSumOfItsParts) {
  std::mt19937_64 rng(3);
  for (int round = 0; round < 200000; ++round) {
    uint32_t bits = uint32_t(rng());
    float x;
    std::memcpy(&x, &bits, sizeof(x));
    if (!(std::fabs(x) < 0x1p126f)) continue;
    Bfloat16 parts[3];
    split(x, parts);
    double left = x;
    for (const Bfloat16 part : parts) {
      left -= value_of(part);
    }
    ASSERT_LE(std::fabs(left), std::max(0x1p-24 * std::fabs(double(x)), 0x1p-134)) << x;
    ASSERT_LE(std::fabs(value_of(parts[1])), std::max(0x1.02p-8 * std::fabs(double(x)), 0x1p-133)) << x;
  }
  // The six largest products of parts, the largest last.
  std::set<std::pair<int, int>> products;
  for (int k = 0; k < 6; ++k) {
    products.insert({left_part(k), right_part(k)});
    EXPECT_LE(left_part(k) + right_part(k), 2);
    const int before = k > 0 ? left_part(k - 1) + right_part(k - 1) : 2;
    EXPECT_GE(before, left_part(k) + right_part(k));
  }
  EXPECT_EQ(products.size(), 6u);
  EXPECT_EQ(left_part(5) + right_part(5), 0);
}

TEST(TensorNorms, PairsOfTilesAreTheLowerTriangleInOrder) {
  int64_t index = 0;
  for (int64_t s = 0; s < 300; ++s)
    for (int64_t t = 0; t <= s; ++t, ++index) {
      const TilePair pair = tile_pair(index);
      ASSERT_EQ(pair.s, s);
      ASSERT_EQ(pair.t, t);
    }
  for (const int64_t s : {int64_t{1} << 20, (int64_t{1} << 26) + 1}) {  // far beyond what a launch can hold
    const TilePair last = tile_pair(s * (s + 1) / 2 - 1), next = tile_pair(s * (s + 1) / 2);
    EXPECT_EQ(last.s, s - 1);
    EXPECT_EQ(last.t, s - 1);
    EXPECT_EQ(next.s, s);
    EXPECT_EQ(next.t, 0);
  }
}

// Else a sample's norm could depend on how many others there are, by which tiles are chosen.
TEST(TensorNorms, SumsHaveTheSameBitsWhateverTheSideOfATile) {
  for (const Shape& shape : kSamples)
    for (const bool of_floats : {false, true}) {
      const Batch batch = batch_of(shape, of_floats, true, normal_values(shape.length * shape.d, 1),
                                   normal_values(shape.length * shape.p, 2));
      const GramSums small = gram_sums(batch, {64}), large = gram_sums(batch, {128});
      EXPECT_EQ(small.sums, large.sums) << "T=" << shape.length;
      EXPECT_EQ(small.errors, large.errors) << "T=" << shape.length;
      EXPECT_EQ(gradient_sums(batch, {64}), gradient_sums(batch, {128})) << "T=" << shape.length;
    }
}

TEST(TensorNorms, PlansCoverTheWorkAndTheirPartsDoNotOverlap) {
  for (const Shape& shape : {Shape{3, 1, 1, 1}, {2, 64, 64, 64}, {5, 65, 3, 129}, {32, 1024, 768, 3072}}) {
    const int64_t rows = shape.samples * shape.length;
    const Segments segments{shape.samples, shape.length};
    const TensorPlan plan = plan_tensor_norms<float>(segments, rows, shape.d, shape.p);
    EXPECT_GE(TensorPlan::tiles(shape.length, plan.gram_side) * plan.gram_side, shape.length);
    EXPECT_EQ(plan.gradient_tiles(), TensorPlan::tiles(shape.p, plan.direct_side) * plan.d_tiles());
    EXPECT_GE(plan.d_tiles() * plan.direct_side, shape.d);
    EXPECT_LT((plan.d_tiles() - 1) * plan.direct_side, shape.d);
    EXPECT_EQ(plan.a_norms() + rows, plan.g_norms());
    EXPECT_EQ(plan.g_norms() + rows, plan.verdicts());
    EXPECT_EQ(plan.verdicts() + shape.samples, plan.gram_parts(0));
    EXPECT_EQ(plan.gram_parts(0) + 2 * shape.samples * gram_places(shape.length), plan.squares(0));
    EXPECT_GE(plan.parts(), plan.squares(0) + shape.samples * gradient_places(shape.p, shape.d));
    EXPECT_EQ(plan.parts() % 2, 0);
    EXPECT_GE((plan.doubles() - plan.parts()) * 8, rows * (shape.d + shape.p) * 3 * 2);
    EXPECT_EQ(plan_tensor_norms<Bfloat16>(segments, rows, shape.d, shape.p).doubles(), plan.parts());
  }
  // Large tiles where there are many of them.
  EXPECT_EQ(plan_tensor_norms<float>({32, 100}, 3200, 768, 768).gram_side, 64);
  EXPECT_EQ(plan_tensor_norms<float>({300, 100}, 30000, 768, 768).gram_side, 128);
  EXPECT_EQ(plan_tensor_norms<float>({300, 64}, 19200, 768, 768).gram_side, 64);
  EXPECT_EQ(plan_tensor_norms<float>({32, 100}, 3200, 768, 768).direct_side, 128);
}

}  // namespace
}  // namespace sotto::kernels
