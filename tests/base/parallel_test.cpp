#include "base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

namespace sotto {
namespace {

std::set<std::pair<int64_t, int64_t>> cut(int threads, int64_t count, int64_t grain) {
  std::set<std::pair<int64_t, int64_t>> ranges;
  std::mutex mutex;
  parallel_for(threads, count, grain, [&](int64_t begin, int64_t end) {
    const std::lock_guard lock(mutex);
    ranges.insert({begin, end});
  });
  return ranges;
}

TEST(Parallel, EveryIndexIsCoveredExactlyOnce) {
  for (const int threads : {0, 1, 2, 3, 8})
    for (const int64_t count : {0, 1, 2, 7, 64, 1000})
      for (const int64_t grain : {0, 1, 10, 5000}) {
        std::vector<std::atomic<int>> hits(static_cast<size_t>(count));
        parallel_for(threads, count, grain, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
        });
        for (const std::atomic<int>& hit : hits) ASSERT_EQ(hit, 1) << threads << " " << count << " " << grain;
      }
}

TEST(Parallel, RangesAreAtLeastAGrainAndAtMostOneAThread) {
  for (const int64_t count : {1, 9, 10, 19, 20, 1000}) {
    const auto ranges = cut(4, count, 10);
    EXPECT_LE(ranges.size(), 4u);
    for (const auto& [begin, end] : ranges) EXPECT_GE(end - begin, std::min<int64_t>(count, 10));
  }
}

TEST(Parallel, CutIsTheSameEveryTime) {
  const auto first = cut(3, 1000, 7);
  EXPECT_EQ(first.size(), 3u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(cut(3, 1000, 7), first);
}

TEST(Parallel, NothingToDoCallsNobody) {
  EXPECT_TRUE(cut(4, 0, 1).empty());
  EXPECT_TRUE(cut(4, -5, 1).empty());
}

}  // namespace
}  // namespace sotto
