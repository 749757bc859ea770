#include "base/parallel.h"

#include <algorithm>

namespace sotto {

// OpenMP, because LibTorch brings the same runtime: a second pool of spinning threads would fight with it for the
// cores.
void parallel_for(int threads, int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& work) {
  if (count <= 0) return;
  const int64_t ranges = std::clamp<int64_t>(count / std::max<int64_t>(grain, 1), 1, std::max(threads, 1));
  if (ranges == 1) return work(0, count);
#pragma omp parallel for num_threads(static_cast <int>(ranges)) schedule(static, 1)
  for (int64_t r = 0; r < ranges; ++r) work(count * r / ranges, count * (r + 1) / ranges);
}

}  // namespace sotto
