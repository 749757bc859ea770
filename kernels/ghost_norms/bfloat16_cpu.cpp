#include "kernels/ghost_norms/ghost_norms_impl.h"
#include "kernels/widened.h"

namespace sotto::kernels {
namespace {

// A sample at a time: its floats stay in cache for the many times that they are read.
template <class AddNorms>
void add_norms(const Bfloat16GhostInput& input, double* squared, int64_t begin, int64_t end, AddNorms add) {
  thread_local std::vector<float> a, g;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t first = input.segments.first(i), rows = input.segments.rows(i);
    add({widened(input.a, first, rows, a), widened(input.g, first, rows, g), {1, rows}, input.with_bias, input.spare},
        squared + i, 0, 1);
  }
}

}  // namespace

void add_bfloat16_ghost_norms_cpu(const Bfloat16GhostInput& input, double* squared, int64_t begin, int64_t end) {
  add_norms(input, squared, begin, end, add_ghost_norms_cpu);
}

void add_bfloat16_direct_norms_cpu(const Bfloat16GhostInput& input, double* squared, int64_t begin, int64_t end) {
  add_norms(input, squared, begin, end, add_direct_norms_cpu);
}

}  // namespace sotto::kernels
