#include "engine/roofline/roofline.h"

#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "cuda/device.h"

namespace sotto {
namespace {

RooflineCase case_named(const std::string& name) {
  for (RooflineCase& one : roofline_cases())
    if (name_of(one) == name) return one;
  ADD_FAILURE() << "no case " << name;
  return {};
}

// What takes milliseconds, of every operation.
bool is_small(const RooflineCase& one) {
  return one.flops < 3e7 && one.bytes < 3e6;
}

std::string message_of(const std::function<void()>& work, ErrorKind kind) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

TEST(Roofline, CountsBytesAndFlopsAsByHand) {
  struct Row {
    const char* name;
    double bytes, flops;
  };
  const double n = 1 << 22;
  for (const Row& row : {
           Row{"accumulate_row_norms B=64 P=1000", 4 * 64000 + 16 * 64, 2 * 64000},
           Row{"accumulate_outer_norms B=64 d=32 p=32", 4 * 64 * 64 + 16 * 64, 2 * 64 * 64},
           // 136 = 16 · 17 / 2 pairs a sample; 2 · 64 for ⟨a, a⟩ and as many for ⟨g, g⟩.
           Row{"accumulate_ghost_norms B=16 T=16 d=64 p=64", 4 * 256 * 128 + 256, 16 * 136 * 256.0},
           // 16 rows of 64² products with sums, and the squares of 64² entries.
           Row{"accumulate_direct_norms B=16 T=16 d=64 p=64", 4 * 256 * 128 + 256, 16 * (16 * 2 * 4096.0 + 2 * 4096.0)},
           Row{"accumulate_embedding_norms B=16 T=32 d=32 V=100", 512 * (8 + 128) + 256, 2 * 512 * 32},
           Row{"accumulate_tied_cross_norms B=16 T=32 d=64 V=500", 16 * (256 + 2 * 8192 + 4096 + 16), 16 * 1024 * 130},
           Row{"clip_factors B=1024", 12 * 1024, 3 * 1024},
           Row{"accumulate_clipped_outer B=64 T=1 d=32 p=32", 64 * 256 + 256 + 8 * 1056, 64 * (2048 + 96)},
           Row{"accumulate_clipped_rows B=64 P=1000", 256000 + 256 + 8000, 128000},
           Row{"accumulate_clipped_rows (Bfloat16) B=128 P=36928", 128 * 36928 * 2 + 512 + 8 * 36928, 128 * 36928 * 2},
           Row{"layer_norm_backward B=16 T=16 d=64", 4 * (3 * 16384 + 2 * 256 + 64 + 2 * 1024), 13 * 16384},
           Row{"group_norm_backward B=16 C=16 K=4 L=64", 4 * (3 * 16384 + 128 + 16 + 512), 13 * 16384},
           Row{"convolution_gradients B=128 in=3 out=32 groups=1 H=32 W=32 k=3 s=1",
               4 * (128 * 3072.0 + 128 * 32768.0 + 128 * (864 + 32)), 128 * 1024 * 2 * 864.0 + 128 * 32768.0},
           // 64 places and positions: 2080 pairs of each, of 16 channels, and nine taps to add up.
           Row{"accumulate_convolution_norms B=16 in=16 out=16 H=8 W=8 k=3", 16 * (4 * 2 * 1024.0 + 16),
               16 * 2080 * (32.0 + 32 + 9)},
           Row{"fill_gaussian n=4194304", 4 * n, n},
           Row{"noisy_sgd n=4194304", 20 * n, 7 * n},
           Row{"plain_adam n=4194304", 28 * n, 15 * n},
           Row{"noisy_lamb n=4194304", 28 * n, 23 * n},
           Row{"sample_gradients B=64 T=64 d=64 p=512", 4 * (4096 * 576.0 + 64 * 32768.0), 4096 * 2 * 32768.0},
           Row{"sample_gradients (Bfloat16) B=64 T=64 d=64 p=512", 4 * 4096 * 576.0 + 2 * 64 * 32768.0, 4096 * 2 * 32768.0},
           Row{"convolution_gradients (Bfloat16) B=128 in=128 out=128 groups=1 H=8 W=8 k=3 s=1",
               4 * (2 * 1048576.0 + 128 * 128) + 2 * 128 * 147456.0, 128 * 64 * 2 * 147456.0 + 1048576},
           // Samples of 1, 2, … 16 rows: 136 in all; n (n + 1) of each, summed, is 1632.
           Row{"accumulate_ragged_ghost_norms B=16 T=16 d=64 p=64", 4 * 136 * 128 + 24 * 16 + 8, 1632 * 128.0},
           Row{"accumulate_ragged_direct_norms B=16 T=16 d=64 p=64", 4 * 136 * 128 + 24 * 16 + 8, 2 * (136 + 16) * 4096.0},
           Row{"accumulate_ragged_clipped_outer B=16 T=16 d=64 p=64", 4 * 136 * 128 + 12 * 16 + 8 + 8 * 4160, 136 * (2 * 4096.0 + 192)},
           // Of 1, 3, … 29 and 32: 257 in all, 5519 pairs.
           Row{"accumulate_ragged_embedding_norms B=16 T=32 d=32 V=100", 257 * (8 + 128) + 24 * 16 + 8, 2 * 257 * 32},
           Row{"accumulate_ragged_tied_cross_norms B=16 T=32 d=64 V=500", 257 * (8 + 512) + 4 * 5519 + 24 * 16 + 8, 2 * 5519 * 65.0},
           Row{"cell_forward (LSTM) B=64 h=128", 64 * 128 * 60, 64 * 128 * 13},
       }) {
    const RooflineCase one = case_named(row.name);
    EXPECT_DOUBLE_EQ(one.bytes, row.bytes) << row.name;
    EXPECT_DOUBLE_EQ(one.flops, row.flops) << row.name;
  }
  // 512 draws of 100 rows leave 100 · 0.99^512 = 0.58 of them out.
  const double met = 100 - 100 * std::pow(0.99, 512);
  EXPECT_NEAR(case_named("accumulate_clipped_embedding B=16 T=32 d=32 V=100").bytes,
              512 * (8 + 128) + 64 + 8 * 32 * met, 1e-6);
}

TEST(Roofline, EveryFolderOfKernelsHasACase) {
  std::set<std::string> with_header, with_case;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(SOTTO_SOURCE "/kernels"))
    if (entry.path().filename() == entry.path().parent_path().filename().string() + ".h")
      with_header.insert(entry.path().parent_path().filename());
  for (const RooflineCase& one : roofline_cases()) with_case.insert(one.folder);
  EXPECT_GE(with_header.size(), 12u);
  EXPECT_EQ(with_header, with_case) << "engine/roofline/ needs a case for each folder of kernels/";
}

TEST(Roofline, NamesAreUnique) {
  std::set<std::string> names;
  for (const RooflineCase& one : roofline_cases()) EXPECT_TRUE(names.insert(name_of(one) + one.composite).second) << name_of(one);
}

TEST(Roofline, EverySmallCaseAgreesAndWouldNotIfItWereHalfAsLargeAgain) {
  const Site site = open_site(false, 2);
  int held = 0;
  for (const RooflineCase& one : roofline_cases()) {
    if (!one.on_cpu || !is_small(one)) continue;
    const at::NoGradGuard no_gradient;
    const Contest contest = one.make(site);
    auto [ours, theirs] = contest.compared ? contest.compared() : std::pair(contest.sotto(), contest.composite());
    EXPECT_LE(disagreement(ours, theirs), one.tolerance) << name_of(one);
    for (at::Tensor& tensor : ours) tensor = tensor * 1.5;
    EXPECT_GT(disagreement(ours, theirs), one.tolerance) << name_of(one);
    ++held;
  }
  EXPECT_GE(held, 15);
}

TEST(Roofline, WrongResultIsRefusedByNameBeforeItIsTimed) {
  const Site site = open_site(false, 1);
  for (const char* name : {"accumulate_row_norms B=64 P=1000", "fill_gaussian n=16384", "noisy_sgd n=16384"}) {
    RooflineCase one = case_named(name);
    int calls = 0;
    one.make = [&calls, right = one.make](const Site& where) {
      Contest contest = right(where);
      const auto sotto = contest.sotto;
      contest.sotto = [&calls, sotto] {
        ++calls;
        return sotto();
      };
      const auto compared = contest.compared;
      contest.compared = [=] {
        auto both = compared ? compared() : std::pair(sotto(), contest.composite());
        both.first[0] = both.first[0].clone();
        both.first[0].view({-1})[-1] += 2 * both.second[0].abs().max();
        return both;
      };
      return contest;
    };
    const std::string message = message_of([&] { hold(one, site, {1e10, 1e10, 1, 1}, 1); }, ErrorKind::internal);
    EXPECT_NE(message.find(name), std::string::npos) << message;
    EXPECT_EQ(calls, 0) << name;
  }
}

TEST(Roofline, DisagreementIsOfTheLargestEntryAndSeesWhatIsNoNumber) {
  const auto of = [](std::vector<float> a, std::vector<float> b) {
    return disagreement({at::tensor(a)}, {at::tensor(b)});
  };
  const float nan = std::nanf(""), infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(of({1, 2}, {1, 2}), 0);
  EXPECT_EQ(of({1, 3}, {1, 4}), 0.25);
  EXPECT_EQ(of({0, 0}, {0, 0}), 0);
  EXPECT_FALSE(std::isfinite(of({0, 1}, {0, 0})));
  EXPECT_FALSE(std::isfinite(of({nan, 1}, {nan, 1})));
  EXPECT_FALSE(std::isfinite(of({1, nan}, {1, 1})));
  EXPECT_FALSE(std::isfinite(of({infinity}, {infinity})));
  EXPECT_FALSE(std::isfinite(of({1}, {1, 1})));
  EXPECT_FALSE(std::isfinite(disagreement({}, {at::ones({1})})));
  EXPECT_EQ(disagreement({at::ones({1}), at::ones({2})}, {at::ones({1}), 2 * at::ones({2})}), 0.5);
}

TEST(Roofline, RowsArePlacedUnderTheRoofs) {
  const Roofs roofs{.copy_bytes_per_second = 1e10, .matmul_flops_per_second = 1e11};
  RooflineRow row;
  row.time_ms = 2;
  row.composite_ms = 3;
  row.bytes = 1e7;
  row.flops = 5e7;
  place_under(roofs, row);
  EXPECT_DOUBLE_EQ(row.speedup, 1.5);
  EXPECT_DOUBLE_EQ(row.gigabytes_per_second, 5);
  EXPECT_DOUBLE_EQ(row.gigaflops, 25);
  EXPECT_DOUBLE_EQ(row.percent_of_copy, 50);
  EXPECT_DOUBLE_EQ(row.percent_of_matmul, 25);
  EXPECT_DOUBLE_EQ(row.floor_ms, 1);
  EXPECT_DOUBLE_EQ(row.percent_of_floor, 50);
  EXPECT_EQ(row.bound, "memory");
  row.flops = 1.5e8;
  place_under(roofs, row);
  EXPECT_DOUBLE_EQ(row.floor_ms, 1.5);
  EXPECT_DOUBLE_EQ(row.percent_of_floor, 75);
  EXPECT_EQ(row.bound, "compute");
}

TEST(Roofline, FilterIsSearchedForAndWhatThereIsIsListed) {
  EXPECT_EQ(chosen_cases({.filter = "^accumulate_row_norms B=64 "}).size(), 1u);
  EXPECT_GE(chosen_cases({.filter = "ghost|direct"}).size(), 6u);
  EXPECT_EQ(chosen_cases({}).size() + 1, roofline_cases().size());  // all but cuRAND's
  const std::string missing = message_of([] { chosen_cases({.filter = "gohst"}); }, ErrorKind::configuration);
  for (const char* words : {"gohst", "accumulate_ghost_norms", "convolution_gradients", "noisy_adam"})
    EXPECT_NE(missing.find(words), std::string::npos) << missing;
  EXPECT_NE(message_of([] { chosen_cases({.filter = "(ghost"}); }, ErrorKind::configuration).find("(ghost"), std::string::npos);
}

TEST(Roofline, OperationsOfTheCpuAloneAreLeftOutOnCuda) {
  for (const RooflineCase& one : chosen_cases({.on_cuda = true})) EXPECT_EQ(one.kernel.find("recurrent_"), std::string::npos);
  EXPECT_FALSE(chosen_cases({.on_cuda = true, .filter = "fill_gaussian"}).empty());
}

TEST(Roofline, MeasuresInARunWhatItReports) {
  std::vector<std::string> heard;
  const Roofline made = measure_roofline({.threads = 2, .rounds = 1, .filter = "row_norms B=64|clip_factors B=1024"},
                                         [&](int64_t done, int64_t total, const std::string& next) {
                                           EXPECT_LE(done, total);
                                           heard.push_back(next);
                                         });
  ASSERT_EQ(made.rows.size(), 2u);
  EXPECT_EQ(heard.size(), 4u);
  EXPECT_EQ(heard[1], "accumulate_row_norms B=64 P=1000");
  EXPECT_EQ(made.roofs.copy_bytes, int64_t{2} * 4 << 26);
  EXPECT_GT(made.roofs.copy_bytes_per_second, 1e8);
  EXPECT_GT(made.roofs.matmul_flops_per_second, 1e8);
  for (const RooflineRow& row : made.rows) {
    EXPECT_GT(row.time_ms, 0);
    EXPECT_GT(row.composite_ms, 0);
    EXPECT_DOUBLE_EQ(row.floor_ms, 1e3 * std::max(row.bytes / made.roofs.copy_bytes_per_second,
                                                  row.flops / made.roofs.matmul_flops_per_second));
  }
  EXPECT_NE(message_of([] { measure_roofs(open_site(false, 1), 0); }, ErrorKind::invalid_argument).find("0"), std::string::npos);
}

TEST(Roofline, DeviceThatIsNotThereIsRefused) {
  if (cuda_present()) GTEST_SKIP() << "a device is here";
  const std::string message = message_of([] { open_site(true, 1); }, ErrorKind::cuda);
  EXPECT_NE(message.find("sotto doctor"), std::string::npos) << message;
}

TEST(Roofline, SmallCasesAgreeOnCuda) {
  if (!cuda_present()) GTEST_SKIP() << "no CUDA device on this machine";
  const Site site = open_site(true, 1);
  for (const RooflineCase& one : chosen_cases({.on_cuda = true})) {
    if (!is_small(one)) continue;
    EXPECT_NO_THROW(hold(one, site, {1e12, 1e13, 1, 1}, 1)) << name_of(one);
  }
}

}  // namespace
}  // namespace sotto
