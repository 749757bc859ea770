#include <algorithm>
#include <thread>
#include <vector>

#include "base/parallel.h"

namespace sotto {

// The same cut on plain threads: what ThreadSanitizer can follow, since it does not know OpenMP's barriers.
void parallel_for(int threads, int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& work) {
  if (count <= 0) return;
  const int64_t ranges = std::clamp<int64_t>(count / std::max<int64_t>(grain, 1), 1, std::max(threads, 1));
  std::vector<std::thread> pool;
  for (int64_t r = 1; r < ranges; ++r) pool.emplace_back(work, count * r / ranges, count * (r + 1) / ranges);
  work(0, count / ranges);
  for (std::thread& thread : pool) thread.join();
}

}  // namespace sotto
