#include "kernels/estimated_norms/estimated_norms.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/estimated_norms/estimated_norms_impl.h"
#include "kernels/double_sum.h"

namespace sotto::kernels {
namespace {

constexpr int64_t kRows = 4;  // of a sequence at a time: each pass over the sum takes that many

template <class V>
SOTTO_INLINE float dot(const float* x, const float* y, int64_t n) {
  constexpr int64_t width = kWidth<V>;
  V sums = {};
  int64_t j = 0;
  for (; j + width <= n; j += width) {
    V left, right;
    load(left, x + j, width);
    load(right, y + j, width);
    sums += left * right;
  }
  float total = 0;
  for (int64_t k = 0; k < width; ++k) total += sums[k];
  for (; j < n; ++j) total += x[j] * y[j];
  return total;
}

struct AddEstimates {
  template <class V>
  static SOTTO_INLINE void run(const EstimateInput& input, double* estimates, int64_t begin, int64_t end, float* sum) {
    const auto& [a, g, length, probes] = input;
    for (int64_t i = begin; i < end; ++i) {
      double total = 0;
      for (int64_t k = 0; k < probes.rows; ++k) {
        std::fill(sum, sum + g.cols, 0.0f);
        const float* const probe = probes.data + k * probes.cols;
        for (int64_t t = 0; t < length; t += kRows) {
          const int64_t row = i * length + t, rows = std::min(kRows, length - t);
          float weights[kRows] = {};
          const float* g_rows[kRows];
          for (int64_t r = 0; r < kRows; ++r) {
            if (r < rows) weights[r] = dot<V>(a.data + (row + r) * a.cols, probe, a.cols);
            g_rows[r] = g.data + (row + std::min(r, rows - 1)) * g.cols;
          }
          for (int64_t j = 0; j < g.cols; ++j)
            sum[j] += weights[0] * g_rows[0][j] + weights[1] * g_rows[1][j] + weights[2] * g_rows[2][j] +
                      weights[3] * g_rows[3][j];
        }
        total += square_sum<V>(sum, g.cols);
      }
      estimates[i] += total / static_cast<double>(probes.rows);
    }
  }
};

}  // namespace

void estimate_product_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                            MatrixView<const float> probes, VectorView<double> estimates) {
  require(length >= 1, "length must be at least 1, got ", length);
  require(a.rows == g.rows && a.rows == estimates.size * length, "got ", a.rows, " activations and ", g.rows,
          " gradients for ", estimates.size, " samples of ", length);
  require(probes.rows >= 1, "an estimate needs at least one probe");
  require(probes.cols == a.cols, "probes have ", probes.cols, " entries for activations of ", a.cols);
  const EstimateInput input{a, g, length, probes};
  if (exec.on_cuda()) return estimate_product_norms_cuda(exec, input, estimates);
  const int64_t work = probes.rows * length * (a.cols + g.cols);
  parallel_for(exec.threads(), estimates.size, (int64_t{1} << 18) / std::max<int64_t>(1, work) + 1,
               [&](int64_t begin, int64_t end) {
                 thread_local std::vector<float> sum;
                 sum.resize(static_cast<size_t>(input.g.cols));
                 run_widest<AddEstimates>(input, estimates.data, begin, end, sum.data());
               });
}

}  // namespace sotto::kernels
