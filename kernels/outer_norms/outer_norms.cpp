#include "kernels/outer_norms/outer_norms.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/outer_norms/outer_norms_impl.h"
#include "kernels/double_sum.h"

namespace sotto::kernels {
namespace {

struct AddOuterNorms {
  template <class V>
  static SOTTO_INLINE void run(MatrixView<const float> a, MatrixView<const float> g, bool with_bias, double* squared,
                               int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const double a_squared = square_sum<V>(a.data + i * a.cols, a.cols);
      const double g_squared = square_sum<V>(g.data + i * g.cols, g.cols);
      add_up(squared[i], outer_norm(a_squared, g_squared, with_bias, a.cols, g.cols));
    }
  }
};

}  // namespace

void accumulate_outer_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, bool with_bias,
                            VectorView<double> squared) {
  require(a.rows == g.rows, "need a gradient an activation: ", g.rows, " rows for ", a.rows);
  require(squared.size == a.rows, "need a norm a row: ", squared.size, " norms for ", a.rows, " rows");
  if (exec.on_cuda()) return accumulate_outer_norms_cuda(exec, a, g, with_bias, squared);
  // 64 Ki floats take a few microseconds, about what starting a second thread costs.
  const int64_t grain = std::max<int64_t>(1, 65536 / std::max<int64_t>(a.cols + g.cols, 1));
  parallel_for(exec.threads(), a.rows, grain, [&](int64_t begin, int64_t end) {
    run_widest<AddOuterNorms>(a, g, with_bias, squared.data, begin, end);
  });
}

}  // namespace sotto::kernels
