#include "base/parallel.h"
#include "kernels/clipped_sum/clipped_sum_impl.h"
#include "kernels/vectorised.h"

namespace sotto::kernels {
namespace {

// Columns by stripes whose doubles stay in the first-level cache while all rows pass. From row to row the stripe jumps
// to other pages, where no processor looks ahead by itself: asking two rows ahead makes it three times as fast.
constexpr int64_t kStripe = 2048;
constexpr int64_t kAhead = 2;

// Into `double_sums` where there are any, else into `sums`.
SOTTO_VECTORISED void add_clipped_rows(MatrixView<const float> x, const float* factors, float* sums,
                                       double* double_sums, int64_t begin, int64_t end) {
  for (int64_t start = begin; start < end; start += kStripe) {
    const int64_t columns = std::min(kStripe, end - start);
    alignas(64) double totals[kStripe] = {};
    for (int64_t i = 0; i < x.rows; ++i) {
      if (factors[i] == 0) continue;
      const float* row = x.data + i * x.cols + start;
      const float* ahead = i + kAhead < x.rows ? row + kAhead * x.cols : row;
      const double factor = factors[i];
      int64_t j = 0;
      for (; j + 16 <= columns; j += 16) {
        __builtin_prefetch(ahead + j);
        for (int64_t half = j; half < j + 16; half += 8)
          *reinterpret_cast<Double8*>(totals + half) +=
              factor * __builtin_convertvector(*reinterpret_cast<const Float8Unaligned*>(row + half), Double8);
      }
      for (; j < columns; ++j) totals[j] += factor * double(row[j]);
    }
    if (double_sums)
      for (int64_t j = 0; j < columns; ++j) double_sums[start + j] += totals[j];
    else
      for (int64_t j = 0; j < columns; ++j) sums[start + j] = float(sums[start + j] + totals[j]);
  }
}

void add_in_stripes(const Exec& exec, MatrixView<const float> x, VectorView<const float> factors, float* sums,
                    double* double_sums) {
  const int64_t stripes = (x.cols + kStripe - 1) / kStripe;
  const int64_t grain = 65536 / std::max<int64_t>(1, x.rows * kStripe) + 1;
  parallel_for(exec.threads(), stripes, grain, [&](int64_t begin, int64_t end) {
    add_clipped_rows(x, factors.data, sums, double_sums, begin * kStripe, std::min(end * kStripe, x.cols));
  });
}

}  // namespace

void accumulate_clipped_rows_cpu(const Exec& exec, MatrixView<const float> x, VectorView<const float> factors,
                                 VectorView<float> sum) {
  add_in_stripes(exec, x, factors, sum.data, nullptr);
}

void accumulate_clipped_rows_cpu(const Exec& exec, MatrixView<const float> x, VectorView<const float> factors,
                                 VectorView<double> sum) {
  add_in_stripes(exec, x, factors, nullptr, sum.data);
}

}  // namespace sotto::kernels
