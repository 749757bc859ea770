#include "kernels/segments.h"

#include <numeric>

#include "kernels/clip/clip.h"
#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/embedding_norms/embedding_norms.h"
#include "kernels/ghost_norms/ghost_norms.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

// Rows of each sample: none, one, a chain of 64 and around it, several chains, and batches without a sample or a row.
const std::vector<std::vector<int64_t>> kTables = {{3, 1, 7, 1, 2}, {0, 5, 0, 1, 0}, {64, 65, 1, 130, 63}, {1, 1, 1},
                                                   {4, 4, 4},       {200, 1},        {},                   {0, 0}};
constexpr int64_t kD = 19, kP = 11, kVocabulary = 23;

std::vector<int64_t> starts_of(const std::vector<int64_t>& rows) {
  std::vector<int64_t> starts = {0};
  for (const int64_t own : rows) starts.push_back(starts.back() + own);
  return starts;
}

std::vector<int64_t> ids_of(int64_t count, uint64_t seed) {
  std::mt19937_64 rng(seed);
  std::vector<int64_t> ids(static_cast<size_t>(count));
  for (int64_t& id : ids) id = static_cast<int64_t>(rng() % kVocabulary);
  return ids;
}

template <class T>
std::vector<T> part(const std::vector<T>& all, int64_t first, int64_t count) {
  return {all.begin() + first, all.begin() + first + count};
}

// A batch by a table, with a head whose samples have other lengths: `times` as many rows, and one.
struct Batch {
  explicit Batch(const std::vector<int64_t>& rows, uint64_t seed = 1) : starts(starts_of(rows)) {
    for (const int64_t own : rows) longest = std::max(longest, own), head_longest = std::max(head_longest, 2 * own + 1);
    for (size_t i = 0; i < starts.size(); ++i) head_starts.push_back(2 * starts[i] + static_cast<int64_t>(i));
    count = static_cast<int64_t>(rows.size());
    a = normal_values(starts.back() * kD, seed), g = normal_values(starts.back() * kP, seed + 1);
    g_embedding = normal_values(starts.back() * kD, seed + 2);
    a_head = normal_values(head_starts.back() * kD, seed + 3);
    g_head = normal_values(head_starts.back() * kVocabulary, seed + 4);
    ids = ids_of(starts.back(), seed + 5);
  }
  int64_t count, longest = 1, head_longest = 1;
  std::vector<int64_t> starts, head_starts, ids;
  std::vector<float> a, g, g_embedding, a_head, g_head;
};

class SegmentsTest : public BackendTest {
 protected:
  enum Kind { ghost, direct, embedding, tied };
  static constexpr Kind kKinds[] = {ghost, direct, embedding, tied};

  std::vector<double> norms(Kind kind, const Batch& b, int threads = 1) {
    Guarded<int64_t> starts(b.starts, on_cuda()), head_starts(b.head_starts, on_cuda()), ids(b.ids, on_cuda());
    Guarded<float> a(b.a, on_cuda()), g(b.g, on_cuda()), g_embedding(b.g_embedding, on_cuda());
    Guarded<float> a_head(b.a_head, on_cuda()), g_head(b.g_head, on_cuda());
    Guarded<double> out(std::vector<double>(b.count), on_cuda());
    const int64_t rows = b.starts.back(), head_rows = b.head_starts.back();
    const Segments segments{b.count, b.longest, starts.data()}, head{b.count, b.head_longest, head_starts.data()};
    const Exec on = exec(threads);
    if (kind == ghost)
      accumulate_ragged_ghost_norms(on, {a.data(), rows, kD}, {g.data(), rows, kP}, segments, true, out.view());
    if (kind == direct)
      accumulate_ragged_direct_norms(on, {a.data(), rows, kD}, {g.data(), rows, kP}, segments, true, out.view());
    if (kind == embedding)
      accumulate_ragged_embedding_norms(on, {ids.data(), rows}, {g_embedding.data(), rows, kD}, segments, 3, out.view());
    if (kind == tied)
      accumulate_ragged_tied_cross_norms(on, {ids.data(), rows}, {g_embedding.data(), rows, kD}, segments, 3,
                                         {a_head.data(), head_rows, kD}, {g_head.data(), head_rows, kVocabulary}, head,
                                         out.view());
    return out.read();
  }

  // Sample i as a batch of its own, by the operation for equal lengths.
  double alone(Kind kind, const Batch& b, int64_t i) {
    const int64_t first = b.starts[i], rows = b.starts[i + 1] - first;
    const int64_t head_first = b.head_starts[i], head_rows = b.head_starts[i + 1] - head_first;
    if (rows == 0 && kind != tied) return 0;
    Guarded<float> a(part(b.a, first * kD, rows * kD), on_cuda()), g(part(b.g, first * kP, rows * kP), on_cuda());
    Guarded<float> g_embedding(part(b.g_embedding, first * kD, rows * kD), on_cuda());
    Guarded<float> a_head(part(b.a_head, head_first * kD, head_rows * kD), on_cuda());
    Guarded<float> g_head(part(b.g_head, head_first * kVocabulary, head_rows * kVocabulary), on_cuda());
    Guarded<int64_t> ids(part(b.ids, first, rows), on_cuda());
    Guarded<double> out(std::vector<double>(1), on_cuda());
    if (kind == ghost)
      accumulate_ghost_norms(exec(), {a.data(), rows, kD}, {g.data(), rows, kP}, rows, true, out.view());
    if (kind == direct)
      accumulate_direct_norms(exec(), {a.data(), rows, kD}, {g.data(), rows, kP}, rows, true, out.view());
    if (kind == embedding)
      accumulate_embedding_norms(exec(), {ids.data(), 1, rows}, {g_embedding.data(), rows, kD}, 3, out.view());
    if (kind == tied)
      accumulate_tied_cross_norms(exec(), {ids.data(), 1, rows}, {g_embedding.data(), rows, kD}, 3,
                                  {a_head.data(), head_rows, kD}, {g_head.data(), head_rows, kVocabulary}, out.view());
    return out.read()[0];
  }

  // The clipped sums of a linear layer with its bias, and of an embedding.
  std::vector<float> sums(const Batch& b, const std::vector<float>& factors, int threads = 1) {
    Guarded<int64_t> starts(b.starts, on_cuda()), ids(b.ids, on_cuda());
    Guarded<float> a(b.a, on_cuda()), g(b.g, on_cuda()), g_embedding(b.g_embedding, on_cuda()), f(factors, on_cuda());
    Guarded<float> weight(std::vector<float>(kP * kD), on_cuda()), bias(std::vector<float>(kP), on_cuda());
    Guarded<float> table(std::vector<float>(kVocabulary * kD), on_cuda());
    const int64_t rows = b.starts.back();
    const Segments segments{b.count, b.longest, starts.data()};
    accumulate_ragged_clipped_outer(exec(threads), {g.data(), rows, kP}, {a.data(), rows, kD}, {f.data(), b.count},
                                    segments, {weight.data(), kP, kD}, bias.view());
    accumulate_ragged_clipped_embedding(exec(threads), {ids.data(), rows}, {g_embedding.data(), rows, kD},
                                        {f.data(), b.count}, segments, 3, {table.data(), kVocabulary, kD});
    std::vector<float> all = weight.read();
    for (const auto& more : {bias.read(), table.read()}) all.insert(all.end(), more.begin(), more.end());
    return all;
  }
};

TEST_P(SegmentsTest, ASamplesNormIsThatOfItsOwnRowsAloneBitByBit) {
  for (const auto& table : kTables) {
    const Batch batch(table);
    for (const Kind kind : kKinds) {
      const auto got = norms(kind, batch);
      for (int64_t i = 0; i < batch.count; ++i)
        EXPECT_EQ(got[i], alone(kind, batch, i)) << "kind " << kind << ", sample " << i << " of " << table[i] << " rows";
    }
  }
}

TEST_P(SegmentsTest, TheNormOfAUnitIsThatOfItsSummedGradientAndNeverLess) {
  for (const auto& table : kTables) {
    const Batch batch(table, 31);
    for (const Kind kind : {ghost, direct}) {
      const auto got = norms(kind, batch);
      for (int64_t i = 0; i < batch.count; ++i) {
        const int64_t first = batch.starts[i], rows = table[i];
        const Shape own{1, rows, kD, kP};
        const auto a = part(batch.a, first * kD, rows * kD), g = part(batch.g, first * kP, rows * kP);
        const long double truth = std::sqrt(square_of(gradient_of(own, a, g, 0, true)));
        const long double spare = kSampleRounding * mass_of_sample(own, a, g, 0, true);
        EXPECT_GE(got[i], truth * truth) << i;
        EXPECT_LE(got[i], (truth + spare) * (truth + spare) * 1.001001L) << i;
      }
    }
  }
}

TEST_P(SegmentsTest, ClippedSumIsTheSumOfTheScaledUnitsWithinItsSlack) {
  for (const auto& table : kTables) {
    const Batch batch(table, 7);
    std::vector<float> factors = normal_values(batch.count, 9);
    for (float& factor : factors) factor = std::fabs(factor);
    if (batch.count > 2) factors[2] = 0;
    std::vector<long double> truth(kP * kD + kP + kVocabulary * kD);
    long double linear = 0, embedding = 0;  // Σ of the summands' lengths, by their rows
    for (int64_t i = 0; i < batch.count; ++i)
      for (int64_t r = batch.starts[i]; r < batch.starts[i + 1]; ++r) {
        const long double f = factors[i];
        long double a_square = 1, g_square = 0, e_square = 0;
        for (int64_t p = 0; p < kP; ++p) {
          const long double scaled = f * batch.g[r * kP + p];
          g_square += scaled * scaled;
          truth[kP * kD + p] += scaled;
          for (int64_t d = 0; d < kD; ++d) truth[p * kD + d] += scaled * batch.a[r * kD + d];
        }
        for (int64_t d = 0; d < kD; ++d) {
          const long double scaled = f * batch.g_embedding[r * kD + d];
          a_square += static_cast<long double>(batch.a[r * kD + d]) * batch.a[r * kD + d];
          e_square += scaled * scaled;
          if (batch.ids[r] != 3) truth[kP * kD + kP + batch.ids[r] * kD + d] += scaled;
        }
        linear += std::sqrt(a_square * g_square), embedding += std::sqrt(e_square);
      }
    const auto got = sums(batch, factors);
    long double error = 0;
    for (size_t k = 0; k < truth.size(); ++k) error += (got[k] - truth[k]) * (got[k] - truth[k]);
    // A chain's roundings of the rows' lengths, doubles, and one rounding into the floats.
    EXPECT_LE(std::sqrt(error), (kSampleRounding + 0x1p-23) * linear + 0x1p-23 * embedding);
  }
}

TEST_P(SegmentsTest, ATableOfEqualLengthsChangesNothing) {
  const Batch batch({5, 5, 5, 5});
  const std::vector<float> factors = {1, 0.5f, 0.25f, 0.125f};
  Guarded<float> a(batch.a, on_cuda()), g(batch.g, on_cuda()), f(factors, on_cuda());
  Guarded<float> weight(std::vector<float>(kP * kD), on_cuda()), bias(std::vector<float>(kP), on_cuda());
  accumulate_clipped_outer(exec(), {g.data(), 20, kP}, {a.data(), 20, kD}, {f.data(), 4}, 5, {weight.data(), kP, kD},
                           bias.view());
  const auto got = sums(batch, factors);
  EXPECT_EQ(part(got, 0, kP * kD), weight.read());
  EXPECT_EQ(part(got, kP * kD, kP), bias.read());
}

TEST_P(SegmentsTest, ABadUnitTouchesItsOwnNormOnlyAndDroppedLeavesNoTrace) {
  const Batch clean({3, 70, 2, 0, 4});
  const std::vector<float> factors = {0.5f, 0, 1, 1, 0.25f};
  for (const float poison : {NAN, INFINITY}) {
    Batch bad = clean;
    for (std::vector<float>* values : {&bad.a, &bad.g_embedding}) (*values)[72 * kD] = poison;  // the last row of unit 1
    bad.ids[72] = 5;
    Batch same = clean;
    same.ids[72] = 5;
    for (const Kind kind : {ghost, direct, embedding}) {
      const auto got = norms(kind, bad), expected = norms(kind, same);
      for (int64_t i = 0; i < bad.count; ++i)
        if (i == 1)
          EXPECT_FALSE(std::isfinite(got[i]));
        else
          EXPECT_EQ(got[i], expected[i]);
    }
    EXPECT_EQ(sums(bad, factors), sums(same, factors));
  }
}

TEST_P(SegmentsTest, AreTheSameTwiceAndOnAnyNumberOfThreads) {
  std::vector<int64_t> table;
  std::mt19937_64 rng(3);
  for (int i = 0; i < 60; ++i) table.push_back(static_cast<int64_t>(rng() % 40));
  const Batch batch(table);
  const auto factors = normal_values(60, 4);
  for (const int threads : {1, 2, 5}) {
    for (const Kind kind : kKinds) EXPECT_EQ(norms(kind, batch, threads), norms(kind, batch)) << threads;
    EXPECT_EQ(sums(batch, factors, threads), sums(batch, factors)) << threads;
  }
}

SOTTO_ON_EACH_BACKEND(SegmentsTest);

TEST(Segments, ARowsSampleIsFoundInAnyTable) {
  for (const auto& table : kTables) {
    const auto starts = starts_of(table);
    const Segments segments{static_cast<int64_t>(table.size()), 200, starts.data()};
    for (int64_t i = 0; i < segments.count; ++i)
      for (int64_t row = starts[i]; row < starts[i + 1]; ++row) ASSERT_EQ(segments.sample_of(row), i);
  }
  const Segments even{4, 3};
  for (int64_t row = 0; row < 12; ++row) ASSERT_EQ(even.sample_of(row), row / 3);
}

TEST(Segments, TablesThatDoNotFitTheRowsAreRefused) {
  float x[8] = {};
  double squared[2] = {};
  const auto refused = [&](std::vector<int64_t> starts, int64_t length) {
    try {
      accumulate_ragged_ghost_norms(Exec::cpu(1), {x, 4, 2}, {x, 4, 1}, {2, length, starts.data()}, false, {squared, 2});
      return std::string();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
      return std::string(error.what());
    }
  };
  EXPECT_EQ(refused({0, 1, 4}, 3), "");
  EXPECT_NE(refused({0, 1, 4}, 2).find("segment 1 has 3 rows"), std::string::npos);
  EXPECT_NE(refused({0, 5, 4}, 5).find("segment 1 has -1 rows"), std::string::npos);
  EXPECT_NE(refused({0, 1, 3}, 3).find("expected 0 to 4 rows"), std::string::npos);
  EXPECT_NE(refused({1, 2, 4}, 3), "");
  EXPECT_NE(refused({0, 1, 4}, 0), "");
}

}  // namespace
}  // namespace sotto::kernels
