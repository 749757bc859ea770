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

struct RunForward {
  template <class V>
  static SOTTO_INLINE void run(const ForwardStep& step, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t unit = 0; unit < step.units; unit += kWidth<V>)
        forward_at<VectorMath<V>, V>(step, i, unit, VectorLane{step.units - unit});
  }
};

struct RunBackward {
  template <class V>
  static SOTTO_INLINE void run(const BackwardStep& step, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t unit = 0; unit < step.units; unit += kWidth<V>)
        backward_at<VectorMath<V>, V>(step, i, unit, VectorLane{step.units - unit});
  }
};

int64_t grain(int64_t units) {
  return 4096 / std::max<int64_t>(units, 1) + 1;
}

}  // namespace

void cell_forward_cpu(const Exec& exec, const ForwardStep& step) {
  parallel_for(exec.threads(), step.batch, grain(step.units),
               [&](int64_t begin, int64_t end) { run_widest<RunForward>(step, begin, end); });
}

void cell_backward_cpu(const Exec& exec, const BackwardStep& step) {
  parallel_for(exec.threads(), step.batch, grain(step.units),
               [&](int64_t begin, int64_t end) { run_widest<RunBackward>(step, begin, end); });
}

}  // namespace sotto::kernels
