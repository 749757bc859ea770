#include <algorithm>
#include <vector>

#include "kernels/ghost_norms/ghost_norms_impl.h"
#include "kernels/lanes.h"

namespace sotto::kernels {
namespace {

SOTTO_VECTORISED void widen_rows(const Bfloat16* from, int64_t count, float* to) {
  int64_t k = 0;
  for (; k + 8 <= count; k += 8) {
    Float8 values;
    load_narrow(values, from + k);
    *reinterpret_cast<Float8Unaligned*>(to + k) = values;
  }
  for (; k < count; ++k) to[k] = to_float(from[k]);
}

MatrixView<const float> widened(MatrixView<const Bfloat16> x, int64_t first, int64_t rows, std::vector<float>& room) {
  room.resize(std::max(room.size(), static_cast<size_t>(rows * x.cols)));
  widen_rows(x.data + first * x.cols, rows * x.cols, room.data());
  return {room.data(), rows, x.cols};
}

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
