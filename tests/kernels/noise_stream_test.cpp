#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/noise/draw.h"
#include "tests/kernels/cases/instruction_sets.h"
#include "tests/kernels/noise_oracle.h"

namespace sotto::kernels {
namespace {

using Block = std::vector<uint32_t>;

Block block_of(const StreamKey& stream, uint32_t counter) {
  uint32_t words[16];
  chacha20_block(stream, counter, words);
  return Block(words, words + 16);
}

TEST(NoiseChaCha20, MatchesTheVectorsOfRfc8439) {
  // section 2.3.2: key 00 01 … 1f, nonce 00 00 00 09 00 00 00 4a 00 00 00 00, counter 1
  StreamKey stream{{}, {0x09000000, 0x4a000000, 0}};
  for (uint32_t i = 0; i < 8; ++i) stream.key[i] = 0x03020100 + 0x04040404 * i;
  EXPECT_EQ(block_of(stream, 1),
            (Block{0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3, 0xc7f4d1c7, 0x0368c033, 0x9aaa2204, 0x4e6cd4c3,
                   0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9, 0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2}));
  // appendix A.1, vector 1: all zero
  EXPECT_EQ(block_of(StreamKey{}, 0),
            (Block{0xade0b876, 0x903df1a0, 0xe56a5d40, 0x28bd8653, 0xb819d2bd, 0x1aed8da0, 0xccef36a8, 0xc70d778b,
                   0x7c5941da, 0x8d485751, 0x3fe02477, 0x374ad8b8, 0xf4b8436a, 0x1ca11815, 0x69b687c3, 0x8665eeb2}));
}

TEST(NoiseChaCha20, MatchesLibsodium) {
  constexpr int kBlocks = 40;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const StreamKey stream = noise_stream(seed, seed << 33 | 7, static_cast<uint32_t>(seed * 1001));
    uint64_t sodium[8 * kBlocks];
    fill_words(stream, sodium, 8 * kBlocks);
    for (uint32_t b = 0; b < kBlocks; ++b)
      ASSERT_EQ(std::memcmp(block_of(stream, b).data(), sodium + 8 * b, 64), 0) << "seed " << seed << " block " << b;
  }
}

// The known answers of Random123 1.14 (kat_vectors, "philox4x32 10"): counter, key, what comes out.
TEST(NoisePhilox, MatchesTheKnownAnswersOfRandom123) {
  struct Row {
    uint32_t counter[4], key[2];
    std::array<uint32_t, 4> answer;
  };
  const Row rows[] = {{{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
                      {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
                      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                       {0xa4093822, 0x299f31d0},
                       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};
  for (const Row& row : rows) {
    uint64_t words[4][1];
    for (int n = 0; n < 4; ++n) words[n][0] = row.counter[n];
    philox4x32<OneLane>(words, row.key[0], row.key[1]);
    for (size_t n = 0; n < 4; ++n) EXPECT_EQ(static_cast<uint32_t>(words[n][0]), row.answer[n]) << n;
    EXPECT_EQ(expected_philox(std::to_array(row.counter), std::to_array(row.key)), row.answer) << "the oracle";
  }
}

TEST(NoisePhilox, BlocksAreFourCountersUnderTheFirstTwoWordsOfTheKey) {
  for (const uint32_t block : {0u, 1u, 77u, (1u << 30) - 1}) {
    const StreamKey stream = noise_stream(block, 9, 5, Generator::philox);
    uint32_t words[16];
    philox_block<OneLane>(stream, block, words);
    for (uint32_t i = 0; i < 4; ++i) {
      const auto four = expected_philox({4 * block + i, stream.nonce[0], stream.nonce[1], stream.nonce[2]},
                                        {stream.key[0], stream.key[1]});
      EXPECT_TRUE(std::equal(four.begin(), four.end(), words + 4 * i)) << block << ", part " << i;
    }
  }
}

TEST(NoisePhilox, IsForGaussianNoiseAlone) {
  uint64_t word;
  EXPECT_THROW(fill_words(noise_stream(1, 0, 0, Generator::philox), &word, 1), Error);
}

// What a CUDA thread computes, here by the host's compiler for plain x86-64.
template <Generator generator>
std::vector<float> one_block_at_a_time(const StreamKey& stream, uint32_t first_block, int64_t blocks) {
  std::vector<float> normals;
  for (int64_t b = 0; b < blocks; ++b) {
    float eight[kNormalsPerBlock];
    gaussian_blocks<generator, OneLane>(stream, first_block + static_cast<uint32_t>(b), eight);
    normals.insert(normals.end(), eight, eight + kNormalsPerBlock);
  }
  return normals;
}

template <Generator generator>
void expect_equal_bits() {
  const auto last = static_cast<uint32_t>((uint64_t{1} << log2_blocks(generator)) - 16);
  for (const InstructionSet set : sets_of_this_machine())
    for (const auto& [first, blocks] :
         {std::pair<uint32_t, int64_t>{0, 4096}, {5, 1}, {3, 15}, {9, 16}, {1, 17}, {last, 16}}) {
      const StreamKey stream = noise_stream(first, static_cast<uint64_t>(blocks), 0, generator);
      std::vector<float> drawn(static_cast<size_t>(blocks * kNormalsPerBlock));
      draw_normals_by(set, generator)(stream, first, blocks, drawn.data());
      const std::vector<float> want = one_block_at_a_time<generator>(stream, first, blocks);
      ASSERT_EQ(std::memcmp(drawn.data(), want.data(), want.size() * sizeof(float)), 0)
          << name_of(generator) << ", " << name_of(set) << ", " << blocks << " blocks from " << first;
    }
}

TEST(NoiseNormals, AreTheSameBitsOnEveryInstructionSetAndForOneThreadABlock) {
  expect_equal_bits<Generator::chacha20>();
  expect_equal_bits<Generator::philox>();
}

TEST(NoiseNormals, MatchBoxMullerInLongDouble) {
  // Three roundings of a product each in radius and angle, and their polynomials: 4 ulp of the larger of |z| and 1.
  constexpr long double kUlp = 0x1p-23L;
  constexpr int64_t kCount = 1 << 21;
  std::vector<float> drawn(kCount);
  for (const Generator generator : kGenerators) {
    const StreamKey stream = noise_stream(4, 0, 0, generator);
    draw_normals_by(best_instruction_set(), generator)(stream, 0, kCount / kNormalsPerBlock, drawn.data());
    const std::vector<long double> want = expected_normals(stream, kCount);
    long double worst = 0;
    for (int64_t i = 0; i < kCount; ++i)
      worst = std::max(worst, std::abs(drawn[i] - want[i]) / std::max(1.0L, std::abs(want[i])));
    EXPECT_LE(worst, 4 * kUlp) << name_of(generator);
    RecordProperty(cat("worst_ulp_", name_of(generator)), std::to_string(static_cast<double>(worst / kUlp)));
  }
}

float minus_log(uint64_t x) {
  float result;
  minus_log_uniform<OneLane>(static_cast<uint32_t>(x), static_cast<uint32_t>(x >> 32), result);
  return result;
}

// The radius has all 64 bits at both ends: neither the tail nor the neighbourhood of u = 1 is a coarse grid.
TEST(NoiseNormals, KeepRelativePrecisionOfTheUniformAtBothEnds) {
  std::vector<uint64_t> cases;
  for (int bits = 0; bits < 64; ++bits)
    for (uint64_t offset = 0; offset < 200; ++offset) {
      const uint64_t x = (uint64_t{1} << bits) + offset * ((uint64_t{1} << bits) / 200) - 1;
      cases.push_back(x);
      cases.push_back(~x);
    }
  for (const uint64_t x : cases) {
    if (x == UINT64_MAX) continue;
    const long double want = -std::log1p(-static_cast<long double>(~x) / 0x1p64L);
    ASSERT_LE(std::abs(minus_log(x) - want) / want, 4 * 0x1p-24L) << "x = " << x;
  }
  EXPECT_EQ(minus_log(UINT64_MAX), 0.0f);
}

TEST(NoiseNormals, ReachTheStatedCut) {
  EXPECT_NEAR(std::sqrt(2 * minus_log(0)), std::sqrt(128 * std::log(2.0)), 1e-6);
}

TEST(NoiseNormals, TakeTheirAnglesFromTheWholeCircle) {
  // every quadrant, its borders and the turns beside them
  for (uint64_t eighth = 0; eighth < 8; ++eighth)
    for (int64_t offset = -3; offset <= 3; ++offset) {
      const auto turn = static_cast<uint32_t>((eighth << 29) + static_cast<uint64_t>(offset));
      float cosine, sine;
      cos_sin_turn<OneLane>(turn, cosine, sine);
      const long double angle = 2 * M_PIl * (turn + 0.5L) / 0x1p32L;
      EXPECT_NEAR(cosine, static_cast<double>(std::cos(angle)), 2e-7) << turn;
      EXPECT_NEAR(sine, static_cast<double>(std::sin(angle)), 2e-7) << turn;
    }
}

TEST(NoiseNormals, AnglesAreSymmetricSoThatTheMeanIsZero) {
  for (uint32_t turn = 1; turn < 0x80000000u; turn += 0x12345) {
    float c1, s1, c2, s2;
    cos_sin_turn<OneLane>(turn, c1, s1);
    cos_sin_turn<OneLane>(~turn, c2, s2);
    ASSERT_EQ(c1, c2) << turn;
    ASSERT_EQ(s1, -s2) << turn;
    cos_sin_turn<OneLane>(turn + 0x80000000u, c2, s2);
    ASSERT_EQ(c1, -c2) << turn;
  }
}

}  // namespace
}  // namespace sotto::kernels
