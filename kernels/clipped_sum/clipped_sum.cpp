#include "kernels/clipped_sum/clipped_sum.h"

#include "base/error.h"
#include "kernels/clipped_sum/clipped_sum_impl.h"

namespace sotto::kernels {

void accumulate_clipped_outer(const Exec& exec, MatrixView<const float> g, MatrixView<const float> a,
                              VectorView<const float> factors, int64_t rows_per_sample, MatrixView<float> weight_sum,
                              VectorView<float> bias_sum) {
  accumulate_ragged_clipped_outer(exec, g, a, factors, {factors.size, rows_per_sample}, weight_sum, bias_sum);
}

template <class T>
static void accumulate_outer(const Exec& exec, MatrixView<const T> g, MatrixView<const T> a,
                             VectorView<const float> factors, const Segments& segments, MatrixView<float> weight_sum,
                             VectorView<float> bias_sum) {
  require_outer_sizes(exec, g, a, factors, segments, weight_sum, bias_sum);
  if (exec.on_cuda()) return accumulate_clipped_outer_cuda(exec, g, a, factors, segments, weight_sum, bias_sum);
  accumulate_clipped_outer_cpu(exec, g, a, factors, segments, weight_sum, bias_sum);
}

void accumulate_ragged_clipped_outer(const Exec& exec, MatrixView<const float> g, MatrixView<const float> a,
                                     VectorView<const float> factors, const Segments& segments,
                                     MatrixView<float> weight_sum, VectorView<float> bias_sum) {
  accumulate_outer(exec, g, a, factors, segments, weight_sum, bias_sum);
}

void accumulate_clipped_outer(const Exec& exec, MatrixView<const Bfloat16> g, MatrixView<const Bfloat16> a,
                              VectorView<const float> factors, int64_t rows_per_sample, MatrixView<float> weight_sum,
                              VectorView<float> bias_sum) {
  accumulate_outer(exec, g, a, factors, {factors.size, rows_per_sample}, weight_sum, bias_sum);
}

void accumulate_ragged_clipped_outer(const Exec& exec, MatrixView<const Bfloat16> g, MatrixView<const Bfloat16> a,
                                     VectorView<const float> factors, const Segments& segments,
                                     MatrixView<float> weight_sum, VectorView<float> bias_sum) {
  accumulate_outer(exec, g, a, factors, segments, weight_sum, bias_sum);
}

template <class T, class Sum>
static void accumulate_rows(const Exec& exec, MatrixView<const T> x, VectorView<const float> factors,
                            VectorView<Sum> sum) {
  require(factors.size == x.rows, "need a factor a row: ", factors.size, " factors for ", x.rows, " rows");
  require(sum.size == x.cols, "sum has ", sum.size, " entries for ", x.cols, " columns");
  if (exec.on_cuda()) return accumulate_clipped_rows_cuda(exec, x, factors, sum);
  accumulate_clipped_rows_cpu(exec, x, factors, sum);
}

void accumulate_clipped_rows(const Exec& exec, MatrixView<const float> x, VectorView<const float> factors,
                             VectorView<float> sum) {
  accumulate_rows(exec, x, factors, sum);
}

void accumulate_clipped_rows(const Exec& exec, MatrixView<const float> x, VectorView<const float> factors,
                             VectorView<double> sum) {
  accumulate_rows(exec, x, factors, sum);
}

void accumulate_clipped_rows(const Exec& exec, MatrixView<const Bfloat16> x, VectorView<const float> factors,
                             VectorView<float> sum) {
  accumulate_rows(exec, x, factors, sum);
}

void accumulate_clipped_embedding(const Exec& exec, MatrixView<const int64_t> ids, MatrixView<const float> g,
                                  VectorView<const float> factors, int64_t padding_index, MatrixView<float> sum) {
  if (ids.cols == 0) return;
  accumulate_ragged_clipped_embedding(exec, {ids.data, ids.rows * ids.cols}, g, factors, {ids.rows, ids.cols},
                                      padding_index, sum);
}

void accumulate_ragged_clipped_embedding(const Exec& exec, VectorView<const int64_t> ids, MatrixView<const float> g,
                                         VectorView<const float> factors, const Segments& segments,
                                         int64_t padding_index, MatrixView<float> sum) {
  require(factors.size == segments.count, "need a factor a sample: ", factors.size, " factors for ", segments.count);
  require(g.rows == ids.size, "need a gradient an id: ", g.rows, " rows for ", ids.size);
  require(g.cols == sum.cols, "sum has ", sum.cols, " columns, expected ", g.cols);
  require_segments(exec, segments, ids.size);
  if (exec.on_cuda())
    return accumulate_clipped_embedding_cuda(exec, ids.data, g, factors, segments, padding_index, sum);
  accumulate_clipped_embedding_cpu(exec, ids.data, g, factors, segments, padding_index, sum);
}

namespace {

// Second-order terms and underflow: far more than they can be for clip norms of at least 2^-60.
constexpr double kSpare = 1.001;

double final_roundings(int64_t calls) {
  return double(calls) * kFloatUnit;
}

}  // namespace

// Of a row in a chain: f·g, its product, and on average (kChain + 1) / 2 partial sums that hold it; one to spare.
constexpr double kMeanChainRoundings = (kChain + 1) / 2.0 + 3;

double clipped_outer_slack(int64_t samples, int64_t rows_per_sample, int64_t calls) {
  if (rows_per_sample == 1) {
    const double additions = double(samples) / kChain + double(calls);
    return kSpare * (gamma_of(kMeanChainRoundings, kFloatUnit) + additions * kDoubleUnit + final_roundings(calls));
  }
  const int64_t chains = (rows_per_sample + kChain - 1) / kChain;
  const double additions = double(samples) * double(chains) + double(calls);
  return kSpare * (additions * kDoubleUnit / kSampleRounding + final_roundings(calls));
}

double clipped_rows_slack(int64_t samples, int64_t calls) {
  return kSpare * (double(samples + calls) * kDoubleUnit + final_roundings(calls));
}

double clipped_embedding_slack(int64_t samples, int64_t calls) {
  return kSpare * (2 * double(samples + calls) * kDoubleUnit + final_roundings(calls));
}

}  // namespace sotto::kernels
