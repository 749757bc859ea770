#include "kernels/widened.h"

#include <algorithm>

#include "kernels/lanes.h"

namespace sotto::kernels {

SOTTO_VECTORISED static void widen_rows(const Bfloat16* from, int64_t count, float* to) {
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

}  // namespace sotto::kernels
