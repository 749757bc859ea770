#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#include "kernels/tensor_tile.h"
#include "tests/kernels/cases/bfloat16_values.h"

// A block of threads on the host, instruction by instruction as the PTX ISA describes them.
namespace sotto::kernels {

// The sum of the terms as Fasi et al. found it: aligned to the largest, cut off after 24 bits (no further ones, as on
// V100) and added, the result cut off again. Sums of so few multiples of one unit are exact in doubles.
inline float aligned_sum(const double* terms, int count) {
  double largest = 0, sum = 0;
  for (int k = 0; k < count; ++k) {
    if (!std::isfinite(terms[k])) return NAN;
    largest = std::max(largest, std::fabs(terms[k]));
  }
  if (largest == 0) return 0;
  const double unit = std::ldexp(1.0, std::max(std::ilogb(largest) - 23, -149));
  for (int k = 0; k < count; ++k) sum += std::trunc(terms[k] / unit);
  const int beyond = sum == 0 ? 0 : std::max(std::ilogb(sum) - 23, 0);
  return float(std::ldexp(std::trunc(std::ldexp(sum, -beyond)), beyond) * unit);
}

class EmulatedWarp {
 public:
  template <class T>
  struct Register {
    T of[32] = {};
  };
  using Word = Register<uint32_t>;
  using Float = Register<float>;

  // How many products a block of the mma takes: 4 (V100), 8 (A100) or 16 (H100).
  explicit EmulatedWarp(int block = 8) : block_(block) {}

  // ldmatrix.x4: lanes 8q … 8q + 7 say where the lines of matrix q are; a lane gets two neighbours of line lane / 4,
  // or, transposed, of column lane / 4.
  template <bool kTransposed, class Offset>
  void load(Word (&to)[4], const Bfloat16* panel, Offset offset) const {
    for (int q = 0; q < 4; ++q)
      for (int lane = 0; lane < 32; ++lane) {
        uint32_t word = 0;
        for (int half = 0; half < 2; ++half) {
          const int near = lane / 4, far = lane % 4 * 2 + half;
          const int line = kTransposed ? far : near, column = kTransposed ? near : far;
          EXPECT_EQ(offset(8 * q + line) % 8, 0) << "ldmatrix needs 16 bytes";
          word |= uint32_t(panel[offset(8 * q + line) + column].bits) << (16 * half);
        }
        to[q].of[lane] = word;
      }
  }

  void multiply(Float (&sum)[4], const Word (&a)[4], const Word& low, const Word& high) const {
    double left[16][16], right[16][8];
    for (int lane = 0; lane < 32; ++lane)
      for (int half = 0; half < 2; ++half) {
        const auto value = [&](const Word& word) {
          return double(value_of(Bfloat16{uint16_t(word.of[lane] >> (16 * half))}));
        };
        const int group = lane / 4, k = lane % 4 * 2 + half;
        left[group][k] = value(a[0]), left[group + 8][k] = value(a[1]);
        left[group][k + 8] = value(a[2]), left[group + 8][k + 8] = value(a[3]);
        right[k][group] = value(low), right[k + 8][group] = value(high);
      }
    for (int lane = 0; lane < 32; ++lane)
      for (int e = 0; e < 4; ++e) {
        const int row = lane / 4 + (e < 2 ? 0 : 8), column = lane % 4 * 2 + e % 2;
        for (int from = 0; from < 16; from += block_) {
          double terms[17] = {sum[e].of[lane]};
          for (int k = 0; k < block_; ++k) terms[k + 1] = left[row][from + k] * right[from + k][column];
          sum[e].of[lane] = aligned_sum(terms, block_ + 1);
        }
      }
  }

  static void add(Float& to, const Float& x) {
    for (int lane = 0; lane < 32; ++lane) to.of[lane] += x.of[lane];
  }

  static float at(const Float& x, int lane) { return x.of[lane]; }

 private:
  int block_;
};

// Either copies land as late as waiting for them allows, or at once, while every second warp is as far behind the
// others as barriers let it be: what is read too early, or overwritten too early, shows.
template <int kTileSide>
class EmulatedBlock {
 public:
  static constexpr int kSide = kTileSide, kThreads = threads_of_tile(kTileSide);
  using Tiles = std::vector<WarpTile<EmulatedWarp>>;

  EmulatedBlock(EmulatedWarp warp, bool late) : warp_(warp), late_(late) {}

  Tiles tiles() const { return Tiles(kThreads / 32); }
  static WarpTile<EmulatedWarp>& tile(Tiles& tiles, int number) { return tiles[number]; }

  template <class Do>
  void each_thread(Do act) {
    for (int thread = 0; thread < kThreads; ++thread) act(thread);
  }
  template <class Do>
  void each_warp(Do act) {
    for (int number = 0; number < kThreads / 32; ++number)
      if (late_ || number % 2 == 0)
        act(warp_, number);
      else
        behind_.push_back([this, act, number] { act(warp_, number); });
  }
  void copy(const Bfloat16* data, Bfloat16* panel, const Piece& piece) {
    const auto land = [=] {
      for (int k = 0; k < 8; ++k) panel[piece.to + k] = k < piece.present ? data[piece.from + k] : Bfloat16{0};
    };
    late_ ? open_.push_back(land) : land();
  }
  void close_copies() {
    groups_.push_back(open_);
    open_.clear();
  }
  void wait_for_oldest() {
    while (groups_.size() > kStagesInFlight - 2) {
      for (const auto& land : groups_.front()) land();
      groups_.erase(groups_.begin());
    }
    finish();
  }
  // All warps have come to a barrier, or to the end.
  void finish() {
    for (const auto& act : behind_) act();
    behind_.clear();
  }

 private:
  using Actions = std::vector<std::function<void()>>;
  EmulatedWarp warp_;
  bool late_;
  Actions open_, behind_;
  std::vector<Actions> groups_;
};

}  // namespace sotto::kernels
