#include "kernels/sample_gradients/sample_gradients.h"

#include "base/error.h"
#include "kernels/sample_gradients/sample_gradients_impl.h"

namespace sotto::kernels {
namespace {

template <class Row>
void take_gradients(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                    MatrixView<Row> rows) {
  require(length >= 1, "length must be at least 1, got ", length);
  require(a.rows == g.rows && a.rows == rows.rows * length, "got ", a.rows, " activations and ", g.rows,
          " gradients for ", rows.rows, " samples of ", length);
  require(rows.cols == a.cols * g.cols, "rows have ", rows.cols, " entries, expected ", g.cols, "x", a.cols);
  if (exec.on_cuda()) return sample_gradients_cuda(exec, a, g, length, rows);
  sample_gradients_cpu(exec, a, g, length, rows);
}

}  // namespace

void sample_gradients(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                      MatrixView<float> rows) {
  take_gradients(exec, a, g, length, rows);
}

void sample_gradients(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                      MatrixView<Bfloat16> rows) {
  take_gradients(exec, a, g, length, rows);
}

}  // namespace sotto::kernels
