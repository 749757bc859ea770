#include "kernels/row_norms/row_norms.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/double_sum.h"
#include "kernels/rounding.h"
#include "kernels/row_norms/row_norms_impl.h"

namespace sotto::kernels {
namespace {

struct AddRowNorms {
  template <class V, class T>
  static SOTTO_INLINE void run(MatrixView<const T> x, double* squared, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      add_up(squared[i], raised(square_sum<V>(x.data + i * x.cols, x.cols), x.cols));
  }
};

template <class T>
void accumulate(const Exec& exec, MatrixView<const T> x, VectorView<double> squared) {
  require(squared.size == x.rows, "need a norm a row: ", squared.size, " norms for ", x.rows, " rows");
  if (exec.on_cuda()) return accumulate_row_norms_cuda(exec, x, squared);
  const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(x.cols, 1));
  parallel_for(exec.threads(), x.rows, grain,
               [&](int64_t begin, int64_t end) { run_widest<AddRowNorms>(x, squared.data, begin, end); });
}

}  // namespace

void accumulate_row_norms(const Exec& exec, MatrixView<const float> x, VectorView<double> squared) {
  accumulate(exec, x, squared);
}

void accumulate_row_norms(const Exec& exec, MatrixView<const Bfloat16> x, VectorView<double> squared) {
  accumulate(exec, x, squared);
}

}  // namespace sotto::kernels
