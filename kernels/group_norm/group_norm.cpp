#include "kernels/group_norm/group_norm.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/group_norm/group_norm_impl.h"
#include "kernels/vectorised.h"

namespace sotto::kernels {
namespace {

SOTTO_INLINE double lane_sum(const Float16& x) {
  Float8 halves[2];
  std::memcpy(halves, &x, sizeof(x));
  const Double8 sum = __builtin_convertvector(halves[0], Double8) + __builtin_convertvector(halves[1], Double8);
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

// By reference: a vector as a result has another calling convention on each processor.
SOTTO_INLINE const Float16Unaligned& load(const float* x) {
  return *reinterpret_cast<const Float16Unaligned*>(x);
}

// Σ g and Σ g (x − mean). A lane adds at most 64 numbers in float before a double takes over.
SOTTO_INLINE void channel_sums(const float* g, const float* x, float mean, int64_t n, double& sum, double& sum_x) {
  constexpr int64_t kBlock = 2 * 16 * kChain;
  sum = sum_x = 0;
  int64_t t = 0;
  while (t + 16 <= n) {
    const int64_t end = std::min(t + kBlock, n);
    Float16 sums[2] = {}, products[2] = {};
    for (; t + 32 <= end; t += 32)
      for (int k = 0; k < 2; ++k) {
        const Float16 value = load(g + t + 16 * k);
        sums[k] += value;
        products[k] += value * (load(x + t + 16 * k) - mean);
      }
    for (; t + 16 <= end; t += 16) {
      sums[0] += load(g + t);
      products[0] += load(g + t) * (load(x + t) - mean);
    }
    sum += lane_sum(sums[0] + sums[1]);
    sum_x += lane_sum(products[0] + products[1]);
  }
  for (; t < n; ++t) {
    sum += g[t];
    sum_x += double(g[t]) * (x[t] - mean);
  }
}

SOTTO_VECTORISED void backward_of_groups(const GroupNormArguments& a, int64_t begin, int64_t end) {
  for (int64_t group = begin; group < end; ++group) {
    const float mean = a.mean[group], rstd = a.rstd[group];
    const float* gamma = a.gamma ? a.gamma + group % a.groups * a.channels : nullptr;
    double sum = 0, sum_x = 0;
    for (int64_t c = 0; c < a.channels; ++c) {
      const int64_t channel = group * a.channels + c;
      double own, own_x;
      channel_sums(a.g + channel * a.positions, a.x + channel * a.positions, mean, a.positions, own, own_x);
      own_x *= rstd;
      if (a.shift) a.shift[channel] = static_cast<float>(own);
      if (a.scale) a.scale[channel] = static_cast<float>(own_x);
      sum += (gamma ? gamma[c] : 1) * own;
      sum_x += (gamma ? gamma[c] : 1) * own_x;
    }
    if (!a.input) continue;
    const NormTerms terms = norm_terms(mean, rstd, sum, sum_x, a.channels * a.positions);
    for (int64_t c = 0; c < a.channels; ++c) {
      const int64_t first = (group * a.channels + c) * a.positions;
      const float scale = gamma ? gamma[c] : 1;
      const float* __restrict x = a.x + first;
      const float* __restrict g = a.g + first;
      float* __restrict input = a.input + first;
      for (int64_t t = 0; t < a.positions; ++t) input[t] = norm_input_gradient(terms, scale * g[t], x[t]);
    }
  }
}

}  // namespace

void group_norm_backward(const Exec& exec, int64_t samples, MatrixView<const float> x, MatrixView<const float> g,
                         VectorView<const float> mean, VectorView<const float> rstd, VectorView<const float> gamma,
                         const NormGradients& out) {
  if (samples == 0) return;
  const int64_t channels = x.rows / samples, groups = mean.size / samples;
  require(groups > 0 && mean.size == samples * groups && x.rows == samples * channels && channels % groups == 0,
          "cannot cut ", x.rows, " channels of ", samples, " samples into ", mean.size, " groups");
  require(rstd.size == mean.size, "need a deviation a mean: ", rstd.size, " for ", mean.size);
  require(g.rows == x.rows && g.cols == x.cols, "the gradient is ", g.rows, " x ", g.cols, ", the input ", x.rows,
          " x ", x.cols);
  require(!gamma.data || gamma.size == channels, "need a scale a channel: ", gamma.size, " for ", channels);
  require(!out.input.data || (out.input.rows == x.rows && out.input.cols == x.cols), "input gradient of another shape");
  for (const MatrixView<float>& rows : {out.scale, out.shift})
    require(!rows.data || (rows.rows == samples && rows.cols == channels), "need ", samples, " x ", channels,
            " gradients of scale and shift, got ", rows.rows, " x ", rows.cols);
  const GroupNormArguments arguments = {samples,    groups,         channels / groups, x.cols,
                                        x.data,     g.data,         mean.data,         rstd.data,
                                        gamma.data, out.input.data, out.scale.data,    out.shift.data};
  if (exec.on_cuda()) return group_norm_backward_cuda(exec, arguments);
  const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(arguments.channels * x.cols, 1));
  parallel_for(exec.threads(), samples * groups, grain,
               [&](int64_t begin, int64_t end) { backward_of_groups(arguments, begin, end); });
}

}  // namespace sotto::kernels
