#include "kernels/group_norm/group_norm.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/group_norm/group_norm_impl.h"
#include "kernels/lanes.h"

namespace sotto::kernels {
namespace {

// Σ g and Σ g (x − mean). A lane adds at most 64 numbers in float before a double takes over.
template <class V>
SOTTO_INLINE void channel_sums(const float* g, const float* x, float mean, int64_t n, double& sum, double& sum_x) {
  constexpr int64_t width = kWidth<V>, block = 2 * width * kChain;
  sum = sum_x = 0;
  int64_t t = 0;
  while (t + width <= n) {
    const int64_t end = std::min(t + block, n);
    V sums[2] = {}, products[2] = {}, value, own;
    for (; t + 2 * width <= end; t += 2 * width)
#pragma GCC unroll 2
      for (int k = 0; k < 2; ++k) {
        load(value, g + t + width * k, width);
        load(own, x + t + width * k, width);
        sums[k] += value;
        products[k] += value * (own - mean);
      }
    for (; t + width <= end; t += width) {
      load(value, g + t, width);
      load(own, x + t, width);
      sums[0] += value;
      products[0] += value * (own - mean);
    }
    const V both = sums[0] + sums[1], both_products = products[0] + products[1];
    sum += lane_sum(both);
    sum_x += lane_sum(both_products);
  }
  for (; t < n; ++t) {
    sum += g[t];
    sum_x += double(g[t]) * (x[t] - mean);
  }
}

struct BackwardOfGroups {
  template <class V>
  static SOTTO_INLINE void run(const GroupNormArguments& arguments, int64_t begin, int64_t end) {
    const GroupNormArguments a = arguments;
    for (int64_t group = begin; group < end; ++group) {
      const float mean = a.mean[group], rstd = a.rstd[group];
      const float* gamma = a.gamma ? a.gamma + group % a.groups * a.channels : nullptr;
      double sum = 0, sum_x = 0;
      for (int64_t c = 0; c < a.channels; ++c) {
        const int64_t channel = group * a.channels + c;
        double own, own_x;
        channel_sums<V>(a.g + channel * a.positions, a.x + channel * a.positions, mean, a.positions, own, own_x);
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
};

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
               [&](int64_t begin, int64_t end) { run_widest<BackwardOfGroups>(arguments, begin, end); });
}

}  // namespace sotto::kernels
