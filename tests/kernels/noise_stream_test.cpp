#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

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

// What a CUDA thread computes, here by the host's compiler for plain x86-64.
std::vector<float> one_block_at_a_time(const StreamKey& stream, uint32_t first_block, int64_t blocks) {
  std::vector<float> normals;
  for (int64_t b = 0; b < blocks; ++b) {
    float eight[kNormalsPerBlock];
    gaussian_blocks<OneLane>(stream, first_block + static_cast<uint32_t>(b), eight);
    normals.insert(normals.end(), eight, eight + kNormalsPerBlock);
  }
  return normals;
}

TEST(NoiseNormals, AreTheSameBitsOnEveryInstructionSetAndForOneThreadABlock) {
  for (const InstructionSet set : sets_of_this_machine())
    for (const auto& [first, blocks] :
         {std::pair<uint32_t, int64_t>{0, 4096}, {5, 1}, {3, 15}, {9, 16}, {1, 17}, {0xfffffff0, 16}}) {
      const StreamKey stream = noise_stream(first, static_cast<uint64_t>(blocks));
      std::vector<float> drawn(static_cast<size_t>(blocks * kNormalsPerBlock));
      draw_normals(set, stream, first, blocks, drawn.data());
      const std::vector<float> want = one_block_at_a_time(stream, first, blocks);
      ASSERT_EQ(std::memcmp(drawn.data(), want.data(), want.size() * sizeof(float)), 0)
          << name_of(set) << ", " << blocks << " blocks from " << first;
    }
}

TEST(NoiseNormals, MatchBoxMullerInLongDouble) {
  // Three roundings of a product each in radius and angle, and their polynomials: 4 ulp of the larger of |z| and 1.
  constexpr long double kUlp = 0x1p-23L;
  constexpr int64_t kCount = 1 << 21;
  const StreamKey stream = noise_stream(4);
  std::vector<float> drawn(kCount);
  draw_normals(best_instruction_set(), stream, 0, kCount / kNormalsPerBlock, drawn.data());
  const std::vector<long double> want = expected_normals(stream, kCount);
  long double worst = 0;
  for (int64_t i = 0; i < kCount; ++i)
    worst = std::max(worst, std::abs(drawn[i] - want[i]) / std::max(1.0L, std::abs(want[i])));
  EXPECT_LE(worst, 4 * kUlp);
  RecordProperty("worst_ulp", std::to_string(static_cast<double>(worst / kUlp)));
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
