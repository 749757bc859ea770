#pragma once
#include <cstdint>
#include <functional>

namespace sotto {

// Calls work(begin, end) on disjoint ranges that cover [0, count), on at most `threads` threads, and waits. A range is
// at least `grain` long except the last. The cut depends on (count, threads, grain) alone, so that a reduction by range
// is reproducible for a given thread count. `work` must not throw.
void parallel_for(int threads, int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& work);

}  // namespace sotto
