#include "base/error.h"
#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/embedding_norms/embedding_norms.h"
#include "kernels/ghost_norms/ghost_norms.h"
#include "kernels/rounding.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/bfloat16_values.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

struct Case {
  int64_t samples, length, words, d, padding_index;
};
const std::vector<Case> kCases = {{0, 3, 5, 4, -1}, {1, 1, 1, 1, -1},  {3, 1, 7, 5, -1},   {4, 9, 4, 16, -1},
                                  {4, 9, 4, 16, 2}, {2, 40, 3, 33, 0}, {2, 7, 1000, 5, 3}, {1, 300, 12, 70, -1}};

std::vector<int64_t> random_ids(const Case& c, std::mt19937_64& rng) {
  std::vector<int64_t> ids(static_cast<size_t>(c.samples * c.length));
  for (int64_t& id : ids) id = int64_t(rng() % uint64_t(c.words));
  return ids;
}

// The gradient of one sample, words x d, by the definition.
std::vector<long double> scatter(const Case& c, const std::vector<int64_t>& ids, const std::vector<float>& g,
                                 int64_t sample) {
  std::vector<long double> gradient(static_cast<size_t>(c.words * c.d), 0.0L);
  for (int64_t row = sample * c.length; row < (sample + 1) * c.length; ++row)
    for (int64_t j = 0; j < c.d && ids[row] != c.padding_index; ++j) gradient[ids[row] * c.d + j] += g[row * c.d + j];
  return gradient;
}

class EmbeddingTest : public BackendTest {
 protected:
  std::vector<double> norms(const Case& c, const std::vector<int64_t>& ids, const std::vector<float>& g,
                            double before = 0, int threads = 1) {
    Guarded<int64_t> ids_in(ids, on_cuda());
    Guarded<float> g_in(g, on_cuda());
    Guarded<double> out(std::vector<double>(c.samples, before), on_cuda());
    accumulate_embedding_norms(exec(threads), {ids_in.data(), c.samples, c.length},
                               {g_in.data(), c.samples * c.length, c.d}, c.padding_index, out.view());
    return out.read();
  }
  std::vector<float> sum(const Case& c, const std::vector<int64_t>& ids, const std::vector<float>& g,
                         const std::vector<float>& factors, std::vector<float> before = {}, int threads = 1) {
    before.resize(static_cast<size_t>(c.words * c.d));
    Guarded<int64_t> ids_in(ids, on_cuda());
    Guarded<float> g_in(g, on_cuda()), f_in(factors, on_cuda()), out(before, on_cuda());
    accumulate_clipped_embedding(exec(threads), {ids_in.data(), c.samples, c.length},
                                 {g_in.data(), c.samples * c.length, c.d}, {f_in.data(), c.samples}, c.padding_index,
                                 {out.data(), c.words, c.d});
    return out.read();
  }
  // ‖c_E‖² + ‖c_H‖² + cross, as the engine adds them up. The head has head_length rows a sample.
  std::vector<double> tied(const Case& c, const std::vector<int64_t>& ids, const std::vector<float>& g,
                           int64_t head_length, const std::vector<float>& a_head, const std::vector<float>& g_head,
                           int threads = 1) {
    const int64_t head_rows = c.samples * head_length;
    Guarded<int64_t> ids_in(ids, on_cuda());
    Guarded<float> g_in(g, on_cuda()), a_in(a_head, on_cuda()), head_in(g_head, on_cuda());
    Guarded<double> out(std::vector<double>(c.samples, 0.0), on_cuda());
    const MatrixView<const int64_t> ids_view{ids_in.data(), c.samples, c.length};
    const MatrixView<const float> g_view{g_in.data(), c.samples * c.length, c.d};
    const MatrixView<const float> a_view{a_in.data(), head_rows, c.d}, head_view{head_in.data(), head_rows, c.words};
    const Exec on = exec(threads);
    accumulate_embedding_norms(on, ids_view, g_view, c.padding_index, out.view());
    accumulate_ghost_norms(on, a_view, head_view, head_length, false, out.view());
    accumulate_tied_cross_norms(on, ids_view, g_view, c.padding_index, a_view, head_view, out.view());
    return out.read();
  }
};

TEST_P(EmbeddingTest, NormSumsTheRowsOfEqualIdsFirst) {
  std::mt19937_64 rng(1);
  for (const Case& c : kCases) {
    const auto ids = random_ids(c, rng);
    const auto g = normal_values(c.samples * c.length * c.d, 2);
    const auto got = norms(c, ids, g, 5.0);
    for (int64_t i = 0; i < c.samples; ++i) {
      const long double truth = 5.0L + square_of(scatter(c, ids, g, i));
      EXPECT_GE(got[i], truth) << c.length << " ids of " << c.words;
      EXPECT_LE(got[i], truth * (1 + 1e-10L)) << "doubles only";
    }
  }
}

TEST_P(EmbeddingTest, NormIsNeverBelowTheTruthOnAdversarialSamples) {
  std::mt19937_64 rng(3);
  for (int round = 0; round < 2000; ++round) {
    const Case c{1, 1 + int64_t(rng() % 10), 1 + int64_t(rng() % 4), 1 + int64_t(rng() % 10), -1};
    const auto ids = random_ids(c, rng);
    const auto g = adversarial_values(c.length, c.d, rng);
    ASSERT_GE(norms(c, ids, g)[0], square_of(scatter(c, ids, g, 0))) << "round " << round;
  }
}

TEST_P(EmbeddingTest, NormCoversWhatDoublesLoseWhenRowsCancel) {
  const std::vector<float> g = {0x1p60f, 1, -0x1p60f};  // in double, 2^60 + 1 - 2^60 is 0
  EXPECT_GE(norms({1, 3, 1, 1, -1}, {0, 0, 0}, g)[0], 1.0);
}

TEST_P(EmbeddingTest, NormAsksOnlyWhichIdsAreEqual) {
  const Case c{2, 50, 20, 5, -1};
  std::mt19937_64 rng(15);
  auto ids = random_ids(c, rng);
  const auto g = normal_values(c.samples * c.length * c.d, 16);
  const auto near = norms(c, ids, g);
  for (const int64_t apart : {int64_t{100}, int64_t{70001}, int64_t{1} << 57}) {  // in the same order: the same bits
    auto far = ids;
    for (int64_t& id : far) id *= apart;
    EXPECT_EQ(norms(c, far, g), near) << apart;
  }
}

TEST_P(EmbeddingTest, PaddedPositionsTakeNoPartWhateverTheyHold) {
  const Case c{1, 3, 4, 2, 1};
  const std::vector<float> g = {1, 2, NAN, INFINITY, 3, 4};
  EXPECT_NEAR(norms(c, {0, 1, 0}, g)[0], 16 + 36, 1e-10);
  EXPECT_EQ(sum(c, {0, 1, 0}, g, {1}), (std::vector<float>{4, 6, 0, 0, 0, 0, 0, 0}));
}

TEST_P(EmbeddingTest, NonFiniteSampleTouchesItsOwnNormOnly) {
  const Case c{3, 4, 5, 6, -1};
  std::mt19937_64 rng(4);
  const auto ids = random_ids(c, rng);
  auto g = normal_values(3 * 4 * 6, 5);
  const auto clean = norms(c, ids, g);
  g[1 * 4 * 6 + 5] = NAN;
  const auto got = norms(c, ids, g);
  EXPECT_FALSE(std::isfinite(got[1]));
  for (int i : {0, 2}) EXPECT_EQ(got[i], clean[i]);
}

TEST_P(EmbeddingTest, TiedNormOfABfloat16HeadIsThatOfTheSumAndNeverLess) {
  std::mt19937_64 rng(7);
  for (int round = 0; round < 101; ++round) {
    Case c{2, 1 + int64_t(rng() % 9), 1 + int64_t(rng() % 12), 1 + int64_t(rng() % 20), round % 2 ? -1 : 0};
    int64_t head_length = 2 + int64_t(rng() % 6);
    if (round == 100) c.length = 190, c.words = 150, head_length = 131;  // several blocks of the CPU's
    const auto ids = random_ids(c, rng);
    const auto g = normal_values(2 * c.length * c.d, rng());
    const auto a_narrow = rounded(normal_values(2 * head_length * c.d, rng())), g_narrow = rounded(normal_values(2 * head_length * c.words, rng()));
    const auto a_head = values_of(a_narrow), g_head = values_of(g_narrow);
    Guarded<int64_t> ids_in(ids, on_cuda());
    Guarded<float> g_in(g, on_cuda());
    Guarded<Bfloat16> a_in(a_narrow, on_cuda()), head_in(g_narrow, on_cuda());
    Guarded<double> out(std::vector<double>(2, 0.0), on_cuda());
    const MatrixView<const float> g_view{g_in.data(), 2 * c.length, c.d};
    const MatrixView<const Bfloat16> a_view{a_in.data(), 2 * head_length, c.d}, head_view{head_in.data(), 2 * head_length, c.words};
    const VectorView<const int64_t> ids_view{ids_in.data(), 2 * c.length};
    accumulate_ragged_embedding_norms(exec(1), ids_view, g_view, {2, c.length}, c.padding_index, out.view());
    accumulate_ragged_ghost_norms(exec(1), a_view, head_view, {2, head_length}, false, {nullptr, 0}, out.view());
    accumulate_ragged_tied_cross_norms(exec(1), ids_view, g_view, {2, c.length}, c.padding_index, a_view, head_view, {2, head_length}, out.view());
    const auto got = out.read();
    for (int64_t i = 0; i < 2; ++i) {
      const Shape head{2, head_length, c.d, c.words};
      const auto head_part = gradient_of(head, a_head, g_head, i, false);
      auto whole = scatter(c, ids, g, i);
      const long double embedding_norm = std::sqrt(square_of(whole)), head_norm = std::sqrt(square_of(head_part)), parts = square_of(whole) + square_of(head_part);
      for (size_t k = 0; k < whole.size(); ++k) whole[k] += head_part[k];
      // What its clipped sum may round in any direction, most of all along the sum of the two.
      const long double spare = kTensorSampleRounding * mass_of_sample(head, a_head, g_head, i, false), norm = std::sqrt(square_of(whole));
      ASSERT_GE(got[i], (norm + spare) * (norm + spare) * (1 - 1e-12L)) << "round " << round;
      ASSERT_GE(got[i], parts / 64 * (1 - 1e-9L)) << "round " << round;
      ASSERT_LE(got[i], norm * norm + parts / 64 + 1.1e-3L * head_norm * head_norm + 2.1L * spare * (head_norm + embedding_norm) + spare * spare) << "round " << round;
    }
  }
}

TEST_P(EmbeddingTest, TiedNormIsThatOfTheSumAndNeverLess) {
  std::mt19937_64 rng(6);
  for (int round = 0; round < 303; ++round) {
    Case c{2, 1 + int64_t(rng() % 9), 1 + int64_t(rng() % 12), 1 + int64_t(rng() % 20), round % 2 ? -1 : 0};
    int64_t head_length = 1 + int64_t(rng() % 7);
    if (round >= 300) c.length = 190, c.words = 150, head_length = 130 + round % 5;  // several blocks of the CPU's
    const auto ids = random_ids(c, rng);
    const auto g = normal_values(2 * c.length * c.d, rng()), a_head = normal_values(2 * head_length * c.d, rng());
    const auto g_head = normal_values(2 * head_length * c.words, rng());
    const auto got = tied(c, ids, g, head_length, a_head, g_head);
    for (int64_t i = 0; i < 2; ++i) {
      const Shape head{2, head_length, c.d, c.words};
      const auto head_part = gradient_of(head, a_head, g_head, i, false);
      auto whole = scatter(c, ids, g, i);
      const long double embedding_norm = std::sqrt(square_of(whole)), parts = square_of(whole) + square_of(head_part);
      for (size_t k = 0; k < whole.size(); ++k) whole[k] += head_part[k];
      const long double truth = square_of(whole),
                        spare = kSampleRounding * mass_of_sample(head, a_head, g_head, i, false);
      ASSERT_GE(got[i], truth) << "round " << round;
      ASSERT_GE(got[i], parts / 64 * (1 - 1e-9L)) << "round " << round;
      // The floor, the head's error term (a thousandth of its square) and the spare of both.
      const long double head_norm = std::sqrt(square_of(head_part));
      ASSERT_LE(got[i], truth + parts / 64 + 1.1e-3L * head_norm * head_norm +
                            2.1L * spare * (head_norm + embedding_norm) + spare * spare)
          << "round " << round;
    }
  }
}

TEST_P(EmbeddingTest, TiedPartsThatCancelKeepAPartOfTheirNorms) {
  // The head's gradient is minus the embedding's: the sum is 0, and what rounding does to the parts must still be paid.
  const Case c{1, 2, 2, 3, -1};
  const std::vector<float> g = {1, 2, 3, 1, 2, 3}, a_head = {1, 2, 3, 1, 2, 3}, g_head = {-1, 0, 0, -1};
  const double got = tied(c, {0, 1}, g, 2, a_head, g_head)[0];
  EXPECT_GE(got, 56 / 64.0 * (1 - 1e-9));
  EXPECT_LE(got, 1.0);
}

TEST_P(EmbeddingTest, NonFiniteHeadMakesTheTiedNormNonFinite) {
  const Case c{2, 1, 2, 1, -1};
  const auto got = tied(c, {0, 0}, {1, 1}, 1, {1, INFINITY}, {1, 0, 0, 0});
  EXPECT_TRUE(std::isfinite(got[0]));
  EXPECT_FALSE(std::isfinite(got[1]));
}

TEST_P(EmbeddingTest, ClippedSumScattersTheScaledRowsWithinItsSlack) {
  std::mt19937_64 rng(7);
  for (const Case& c : kCases) {
    const auto ids = random_ids(c, rng);
    const auto g = normal_values(c.samples * c.length * c.d, 8), before = normal_values(c.words * c.d, 9);
    std::vector<float> factors(static_cast<size_t>(c.samples));
    for (float& factor : factors) factor = float(rng() % 1000) / 1000;
    const auto got = sum(c, ids, g, factors, before);
    std::vector<long double> truth(before.begin(), before.end());
    long double lengths = std::sqrt(square_of(before)), error = 0;
    for (int64_t i = 0; i < c.samples; ++i) {
      const auto gradient = scatter(c, ids, g, i);
      lengths += factors[i] * std::sqrt(square_of(gradient));
      for (size_t k = 0; k < truth.size(); ++k) truth[k] += factors[i] * gradient[k];
    }
    for (size_t k = 0; k < truth.size(); ++k) error += (got[k] - truth[k]) * (got[k] - truth[k]);
    EXPECT_LE(std::sqrt(error), clipped_embedding_slack(c.samples + 1, 1) * lengths) << c.length << " of " << c.words;
  }
}

TEST_P(EmbeddingTest, DroppedSampleLeavesNoTrace) {
  const Case c{2, 2, 3, 1, -1};
  EXPECT_EQ(sum(c, {0, 1, 0, 1}, {NAN, INFINITY, 3, 4}, {0, 0.5f}), (std::vector<float>{1.5f, 2, 0}));
}

TEST_P(EmbeddingTest, DoesNotDependOnTheNumberOfThreads) {
  const Case c{16, 200, 300, 128, 5};
  std::mt19937_64 rng(10);
  const auto ids = random_ids(c, rng);
  const auto g = normal_values(c.samples * c.length * c.d, 11), factors = normal_values(c.samples, 12);
  const auto a_head = normal_values(c.samples * 70 * c.d, 13), g_head = normal_values(c.samples * 70 * c.words, 14);
  const auto one_sum = sum(c, ids, g, factors, {}, 1);
  const auto one_norms = norms(c, ids, g, 0, 1), one_tied = tied(c, ids, g, 70, a_head, g_head, 1);
  for (const int threads : {2, 3, 7}) {  // more than d has stripes, too
    EXPECT_EQ(sum(c, ids, g, factors, {}, threads), one_sum);
    EXPECT_EQ(norms(c, ids, g, 0, threads), one_norms);
    EXPECT_EQ(tied(c, ids, g, 70, a_head, g_head, threads), one_tied);
  }
}

SOTTO_ON_EACH_BACKEND(EmbeddingTest);

TEST(Embedding, NamesTheIdThatIsOutsideTheVocabulary) {
  const std::vector<int64_t> ids = {0, 1, 7, 2};
  std::vector<float> x(64), factors(2, 1.0f);
  std::vector<double> squared(2);
  const MatrixView<const int64_t> ids_view{ids.data(), 2, 2};
  const auto expect_named = [](auto call) {
    try {
      call();
      ADD_FAILURE() << "was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
      EXPECT_STREQ(error.what(), "id 7 of sample 1, position 0 is outside the vocabulary of 3");
    }
  };
  expect_named([&] {
    accumulate_clipped_embedding(Exec::cpu(1), ids_view, {x.data(), 4, 2}, {factors.data(), 2}, -1, {x.data(), 3, 2});
  });
  expect_named([&] {
    accumulate_tied_cross_norms(Exec::cpu(1), ids_view, {x.data(), 4, 2}, -1, {x.data(), 2, 2}, {x.data(), 2, 3},
                                {squared.data(), 2});
  });
}

TEST(Embedding, RefusesSizesThatDoNotMatch) {
  const std::vector<int64_t> ids(4);
  std::vector<float> x(64);
  std::vector<double> s(4);
  const Exec cpu = Exec::cpu(1);
  const MatrixView<const int64_t> v{ids.data(), 2, 2};
  EXPECT_THROW(accumulate_embedding_norms(cpu, v, {x.data(), 3, 2}, -1, {s.data(), 2}), Error);
  EXPECT_THROW(accumulate_embedding_norms(cpu, v, {x.data(), 4, 2}, -1, {s.data(), 4}), Error);
  EXPECT_THROW(
      accumulate_tied_cross_norms(cpu, v, {x.data(), 4, 2}, -1, {x.data(), 2, 3}, {x.data(), 2, 5}, {s.data(), 2}),
      Error);
  EXPECT_THROW(
      accumulate_tied_cross_norms(cpu, v, {x.data(), 4, 2}, -1, {x.data(), 3, 2}, {x.data(), 3, 5}, {s.data(), 2}),
      Error);
  EXPECT_THROW(accumulate_clipped_embedding(cpu, v, {x.data(), 4, 2}, {x.data(), 3}, -1, {x.data(), 5, 2}), Error);
  EXPECT_THROW(accumulate_clipped_embedding(cpu, v, {x.data(), 4, 2}, {x.data(), 2}, -1, {x.data(), 5, 3}), Error);
}

}  // namespace
}  // namespace sotto::kernels
