#include "base/parallel.h"
#include "kernels/sample_gradients/gradient_block.h"
#include "kernels/sample_gradients/sample_gradients_impl.h"

namespace sotto::kernels {
namespace {

struct Job {
  GradientFactors factors;
  int64_t length;
};

int64_t blocks_of(const Job& job) {
  return (job.factors.g.cols + kBlockRows - 1) / kBlockRows;
}

struct RunItems {
  template <class V>
  static SOTTO_INLINE void take(const Job& job, int64_t sample, int64_t begin, int64_t end, float* to,
                                GradientScratch& scratch) {
    run_block<V>(job.factors, sample * job.length, job.length, begin, end, to, scratch);
  }
  template <class V>
  static SOTTO_INLINE void take(const Job& job, int64_t sample, int64_t begin, int64_t end, Bfloat16* to,
                                GradientScratch& scratch) {
    const size_t elements = static_cast<size_t>((end - begin) * job.factors.a.cols);
    if (scratch.block.size() < elements) scratch.block.resize(elements);
    run_block<V>(job.factors, sample * job.length, job.length, begin, end, scratch.block.data(), scratch);
    const float* const from = scratch.block.data();
    for (size_t k = 0; k < elements; ++k) to[k] = to_bfloat16(from[k]);
  }
  template <class V, class Row>
  static SOTTO_INLINE void run(const Job& job, Row* rows, int64_t begin, int64_t end) {
    thread_local GradientScratch scratch;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t sample = item / blocks_of(job), row = item % blocks_of(job) * kBlockRows;
      take<V>(job, sample, row, std::min(row + kBlockRows, job.factors.g.cols),
              rows + (sample * job.factors.g.cols + row) * job.factors.a.cols, scratch);
    }
  }
};

template <class Row>
void take_gradients(const Exec& exec, const Job& job, MatrixView<Row> rows, InstructionSet set) {
  const int64_t work = job.length * std::min(kBlockRows, job.factors.g.cols) * job.factors.a.cols;
  parallel_for(exec.threads(), rows.rows * blocks_of(job), (int64_t{1} << 18) / std::max<int64_t>(1, work) + 1,
               [&](int64_t begin, int64_t end) { run_on<RunItems>(set, job, rows.data, begin, end); });
}

}  // namespace

void sample_gradients_cpu(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                          MatrixView<float> rows, InstructionSet set) {
  take_gradients(exec, {{a, g}, length}, rows, set);
}

void sample_gradients_cpu(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                          MatrixView<Bfloat16> rows, InstructionSet set) {
  take_gradients(exec, {{a, g}, length}, rows, set);
}

}  // namespace sotto::kernels
