#include <vector>

#include "base/parallel.h"
#include "kernels/clipped_sum/clipped_sum_impl.h"
#include "kernels/lanes.h"

namespace sotto::kernels {
namespace {

// Columns by stripes whose doubles stay in the first-level cache while all rows pass, kTogether of them at a time:
// their lines come from memory side by side, and a total is loaded and stored once for all. From row to row the stripe
// jumps to other pages, where no processor looks ahead by itself: each pass asks for what the next one reads.
constexpr int64_t kStripe = 1024;
constexpr int kTogether = 4;

template <class T>
struct Row {
  const T* x;
  double factor;
};

// totals[j] += Σ f · row[start + j], in the order of the rows. What comes next is ahead[r].x[ahead_start + j].
template <int kRows, class V, class T>
SOTTO_INLINE void add_rows(const Row<T>* rows, const Row<T>* ahead, int64_t start, int64_t ahead_start, int64_t columns,
                           double* totals) {
  int64_t j = 0;
  for (; j + 16 <= columns; j += 16) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) __builtin_prefetch(ahead[r].x + ahead_start + j);
    for (int64_t at = j; at < j + 16; at += kDoubles<V>) {
      Doubles<V> total = doubles_at<V>(totals + at);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        Doubles<V> x;
        load_wide<V>(x, rows[r].x + start + at);
        total += rows[r].factor * x;
      }
      doubles_at<V>(totals + at) = total;
    }
  }
  for (; j < columns; ++j)
    for (int r = 0; r < kRows; ++r) totals[j] += rows[r].factor * double(to_float(rows[r].x[start + j]));
}

// Into `double_sums` where there are any, else into `sums`.
struct AddClippedRows {
  template <class V, class T>
  static SOTTO_INLINE void run(const std::vector<Row<T>>& rows, float* sums, double* double_sums, int64_t begin,
                               int64_t end) {
    const Row<T>*const first = rows.data(), *const last = first + rows.size();
    for (int64_t start = begin; start < end; start += kStripe) {
      const int64_t columns = std::min(kStripe, end - start);
      const int64_t next_start = start + kStripe + columns <= end ? start + kStripe : start;
      alignas(64) double totals[kStripe];
      std::fill(totals, totals + columns, 0.0);
      const Row<T>* row = first;
      for (; last - row >= kTogether; row += kTogether) {
        if (last - row >= 2 * kTogether)
          add_rows<kTogether, V>(row, row + kTogether, start, start, columns, totals);
        else
          add_rows<kTogether, V>(row, first, start, next_start, columns, totals);
      }
      for (; row != last; ++row) add_rows<1, V>(row, row, start, start, columns, totals);
      if (double_sums)
        for (int64_t j = 0; j < columns; ++j) double_sums[start + j] += totals[j];
      else
        for (int64_t j = 0; j < columns; ++j) sums[start + j] = float(sums[start + j] + totals[j]);
    }
  }
};

template <class T>
void add_in_parts(const Exec& exec, MatrixView<const T> x, const float* factors, float* sums, double* double_sums) {
  std::vector<Row<T>> rows;
  for (int64_t i = 0; i < x.rows; ++i) {
    if (factors[i] == 0) continue;  // 0 · NaN would poison the sum
    rows.push_back({x.data + i * x.cols, factors[i]});
  }
  // Parts of whole lines of the cache: which columns come last, outside the vectors, does not depend on the threads.
  const int64_t parts = (x.cols + 15) / 16;
  parallel_for(exec.threads(), parts, 4096 / std::max<int64_t>(1, x.rows) + 1, [&](int64_t begin, int64_t end) {
    run_widest<AddClippedRows>(rows, sums, double_sums, begin * 16, std::min(end * 16, x.cols));
  });
}

}  // namespace

void accumulate_clipped_rows_cpu(const Exec& exec, MatrixView<const float> x, VectorView<const float> factors,
                                 VectorView<float> sum) {
  add_in_parts(exec, x, factors.data, sum.data, nullptr);
}

void accumulate_clipped_rows_cpu(const Exec& exec, MatrixView<const float> x, VectorView<const float> factors,
                                 VectorView<double> sum) {
  add_in_parts(exec, x, factors.data, nullptr, sum.data);
}

void accumulate_clipped_rows_cpu(const Exec& exec, MatrixView<const Bfloat16> x, VectorView<const float> factors,
                                 VectorView<float> sum) {
  add_in_parts(exec, x, factors.data, sum.data, nullptr);
}

}  // namespace sotto::kernels
