#include "base/parallel.h"
#include "kernels/recurrent/panels.h"
#include "kernels/recurrent/recurrent_impl.h"

namespace sotto::kernels {
namespace {

// A vector of units, or what is left of one at the end of a row.
struct VectorLane {
  int64_t count;
  template <class V, class T>
  SOTTO_INLINE void load(V& v, const StepRows<T>& rows, int64_t i, int64_t column) const {
    kernels::load(v, rows.data + i * rows.stride + column, count);
  }
  template <class V>
  SOTTO_INLINE void store(const V& v, const StepRows<float>& rows, int64_t i, int64_t column) const {
    kernels::store(v, rows.data + i * rows.stride + column, count);
  }
};

SOTTO_VECTORISED void run_forward(const ForwardStep& step, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i)
    for (int64_t unit = 0; unit < step.units; unit += kWidth<Float16>)
      forward_at<VectorMath<Float16>, Float16>(step, i, unit, VectorLane{step.units - unit});
}

SOTTO_VECTORISED void run_backward(const BackwardStep& step, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i)
    for (int64_t unit = 0; unit < step.units; unit += kWidth<Float16>)
      backward_at<VectorMath<Float16>, Float16>(step, i, unit, VectorLane{step.units - unit});
}

int64_t grain(int64_t units) {
  return 4096 / std::max<int64_t>(units, 1) + 1;
}

}  // namespace

void cell_forward_cpu(const Exec& exec, const ForwardStep& step) {
  parallel_for(exec.threads(), step.batch, grain(step.units),
               [&](int64_t begin, int64_t end) { run_forward(step, begin, end); });
}

void cell_backward_cpu(const Exec& exec, const BackwardStep& step) {
  parallel_for(exec.threads(), step.batch, grain(step.units),
               [&](int64_t begin, int64_t end) { run_backward(step, begin, end); });
}

}  // namespace sotto::kernels
