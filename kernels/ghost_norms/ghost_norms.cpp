#include "kernels/ghost_norms/ghost_norms.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/ghost_norms/ghost_norms_impl.h"

namespace sotto::kernels {
namespace {

void check(const GhostInput& input, VectorView<double> squared) {
  require(input.length >= 1, "length must be at least 1, got ", input.length);
  require(input.a.rows == input.g.rows, "need a gradient an activation: ", input.g.rows, " rows for ", input.a.rows);
  require(input.a.rows == squared.size * input.length, "got ", input.a.rows, " rows for ", squared.size, " samples of ",
          input.length, " rows");
}

template <class AddNorms>
void for_samples(const Exec& exec, const GhostInput& input, VectorView<double> squared, AddNorms add_norms) {
  const int64_t work = input.length * input.length * (input.a.cols + input.g.cols) / 2;
  const int64_t grain = (int64_t{1} << 19) / std::max<int64_t>(1, work) + 1;
  parallel_for(exec.threads(), squared.size, grain,
               [&](int64_t begin, int64_t end) { add_norms(input, squared.data, begin, end); });
}

}  // namespace

void accumulate_ghost_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                            bool with_bias, VectorView<double> squared) {
  const GhostInput input{a, g, length, with_bias};
  check(input, squared);
  if (exec.on_cuda()) return accumulate_ghost_norms_cuda(exec, input, squared);
  for_samples(exec, input, squared, add_ghost_norms_cpu);
}

void accumulate_direct_norms(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                             bool with_bias, VectorView<double> squared) {
  const GhostInput input{a, g, length, with_bias};
  check(input, squared);
  if (exec.on_cuda()) return accumulate_direct_norms_cuda(exec, input, squared);
  for_samples(exec, input, squared, add_direct_norms_cpu);
}

}  // namespace sotto::kernels
