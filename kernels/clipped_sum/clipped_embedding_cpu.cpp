#include <vector>

#include "base/parallel.h"
#include "kernels/clipped_sum/clipped_sum_impl.h"
#include "kernels/occurrences.h"
#include "kernels/vectorised.h"

namespace sotto::kernels {
namespace {

// One id of the vocabulary: [begin, end) are its rows in order. A sample's rows are summed before its factor is
// applied.
SOTTO_VECTORISED void add_id(const Occurrence* begin, const Occurrence* end, MatrixView<const float> g,
                             const float* factors, int64_t length, double* sample_sum, double* total, float* out) {
  const int64_t d = g.cols;
  std::fill(total, total + d, 0.0);
  while (begin != end) {
    const int64_t sample = begin->row / length;
    std::fill(sample_sum, sample_sum + d, 0.0);
    if (factors[sample] == 0) {  // 0 · NaN would poison the sum
      while (begin != end && begin->row / length == sample) ++begin;
      continue;
    }
    for (; begin != end && begin->row / length == sample; ++begin)
      for (int64_t j = 0; j < d; ++j) sample_sum[j] += double(g.data[begin->row * d + j]);
    for (int64_t j = 0; j < d; ++j) total[j] += double(factors[sample]) * sample_sum[j];
  }
  for (int64_t j = 0; j < d; ++j) out[j] = float(out[j] + total[j]);
}

}  // namespace

void accumulate_clipped_embedding_cpu(const Exec& exec, MatrixView<const int64_t> ids, MatrixView<const float> g,
                                      VectorView<const float> factors, int64_t padding_index, MatrixView<float> sum) {
  thread_local std::vector<Occurrence> occurrences;
  thread_local std::vector<int64_t> starts;
  require_ids(ids, padding_index, sum.rows);
  find_occurrences(ids.data, 0, g.rows, padding_index, occurrences);
  starts.clear();
  for (size_t k = 0; k < occurrences.size(); ++k)
    if (k == 0 || occurrences[k].id != occurrences[k - 1].id) starts.push_back(static_cast<int64_t>(k));
  const int64_t distinct = static_cast<int64_t>(starts.size());
  starts.push_back(static_cast<int64_t>(occurrences.size()));

  const Occurrence* all = occurrences.data();
  const int64_t* start = starts.data();
  const int64_t grain = 65536 / std::max<int64_t>(1, g.cols) + 1;
  parallel_for(exec.threads(), distinct, grain, [&, all, start](int64_t begin, int64_t end) {
    thread_local std::vector<double> scratch;
    scratch.resize(static_cast<size_t>(2 * g.cols));
    for (int64_t k = begin; k < end; ++k)
      add_id(all + start[k], all + start[k + 1], g, factors.data, ids.cols, scratch.data(), scratch.data() + g.cols,
             sum.data + all[start[k]].id * g.cols);
  });
}

}  // namespace sotto::kernels
