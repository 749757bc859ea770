#include "kernels/layer_norm/layer_norm.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/lanes.h"
#include "kernels/layer_norm/layer_norm_impl.h"

namespace sotto::kernels {
namespace {

// Σ_t g x̂ and Σ_t g of a sample for Lanes columns: float over kChain rows, then double.
template <class Floats, int Lanes>
SOTTO_INLINE void column_sums(const LayerNormArguments& a, int64_t sample, int64_t column) {
  double scale[Lanes] = {}, shift[Lanes] = {};
  for (int64_t begin = 0; begin < a.rows.length; begin += kChain) {
    const int64_t end = std::min(begin + kChain, a.rows.length);
    Floats scale_part = {}, shift_part = {};
    for (int64_t t = begin; t < end; ++t) {
      const int64_t row = row_of(a.rows, sample, t);
      Floats g, x;  // not aligned, and a template's argument would lose an attribute that says so
      std::memcpy(&g, a.g + row * a.columns + column, sizeof(g));
      std::memcpy(&x, a.x + row * a.columns + column, sizeof(x));
      scale_part += g * ((x - (a.mean ? a.mean[row] : 0)) * a.rstd[row]);
      shift_part += g;
    }
    float parts[2][Lanes];
    std::memcpy(parts[0], &scale_part, sizeof(scale_part));
    std::memcpy(parts[1], &shift_part, sizeof(shift_part));
    for (int k = 0; k < Lanes; ++k) {
      scale[k] += parts[0][k];
      shift[k] += parts[1][k];
    }
  }
  for (int k = 0; k < Lanes; ++k) {
    const int64_t place = sample * a.columns + column + k;
    if (a.scale) a.scale[place] = static_cast<float>(scale[k]);
    if (a.shift) a.shift[place] = static_cast<float>(shift[k]);
  }
}

template <class V>
SOTTO_INLINE void row_gradient(const LayerNormArguments& a, int64_t row) {
  constexpr int64_t width = kWidth<V>;
  const float* __restrict x = a.x + row * a.columns;
  const float* __restrict g = a.g + row * a.columns;
  float* __restrict input = a.input + row * a.columns;
  const float mean = a.mean ? a.mean[row] : 0, rstd = a.rstd[row];
  double sum = 0, sum_x = 0;
  int64_t j = 0;
  while (j + width <= a.columns) {
    const int64_t end = std::min(j + width * kChain, a.columns);
    V sums = {}, products = {};
    for (; j + width <= end; j += width) {
      V value, own, scale;
      load(value, g + j, width);
      load(own, x + j, width);
      if (a.gamma) {
        load(scale, a.gamma + j, width);
        value *= scale;
      }
      sums += value;
      products += value * (own - mean);
    }
    sum += lane_sum(sums);
    sum_x += lane_sum(products);
  }
  for (; j < a.columns; ++j) {
    const float value = a.gamma ? a.gamma[j] * g[j] : g[j];
    sum += value;
    sum_x += double(value) * (x[j] - mean);
  }
  const NormTerms terms = norm_terms(mean, rstd, a.mean ? sum : 0, sum_x * rstd, a.columns);
  if (a.gamma) {
    const float* __restrict gamma = a.gamma;
    for (j = 0; j < a.columns; ++j) input[j] = norm_input_gradient(terms, gamma[j] * g[j], x[j]);
  } else {
    for (j = 0; j < a.columns; ++j) input[j] = norm_input_gradient(terms, g[j], x[j]);
  }
}

struct BackwardOfSamples {
  template <class V>
  static SOTTO_INLINE void run(const LayerNormArguments& arguments, int64_t begin, int64_t end) {
    const LayerNormArguments a = arguments;
    for (int64_t i = begin; i < end; ++i) {
      if (a.scale || a.shift) {
        int64_t j = 0;
        for (; j + kWidth<V> <= a.columns; j += kWidth<V>) column_sums<V, kWidth<V>>(a, i, j);
        for (; j < a.columns; ++j) column_sums<float, 1>(a, i, j);
      }
      if (a.input)
        for (int64_t t = 0; t < a.rows.length; ++t) row_gradient<V>(a, row_of(a.rows, i, t));
    }
  }
};

}  // namespace

void layer_norm_backward(const Exec& exec, const SampleRows& rows, MatrixView<const float> x, MatrixView<const float> g,
                         VectorView<const float> mean, VectorView<const float> rstd, VectorView<const float> gamma,
                         const NormGradients& out) {
  const int64_t samples = rows.samples, length = rows.length;
  require(x.rows == samples * length, x.rows, " rows are not ", samples, " samples of ", length);
  require(
      (rows.sample_stride == length && rows.row_stride == 1) || (rows.sample_stride == 1 && rows.row_stride == samples),
      "rows of ", samples, " samples of ", length, " cannot lie ", rows.sample_stride, " and ", rows.row_stride,
      " apart");
  require(rstd.size == x.rows && (!mean.data || mean.size == x.rows), "need statistics a row: ", rstd.size, " and ",
          mean.size, " for ", x.rows);
  require(g.rows == x.rows && g.cols == x.cols, "the gradient is ", g.rows, " x ", g.cols, ", the input ", x.rows,
          " x ", x.cols);
  require(!gamma.data || gamma.size == x.cols, "need a scale a column: ", gamma.size, " for ", x.cols);
  require(!out.input.data || (out.input.rows == x.rows && out.input.cols == x.cols), "input gradient of another shape");
  for (const MatrixView<float>& part : {out.scale, out.shift})
    require(!part.data || (part.rows == samples && part.cols == x.cols), "need ", samples, " x ", x.cols,
            " gradients of scale and shift, got ", part.rows, " x ", part.cols);
  const LayerNormArguments arguments = {rows,      x.cols,     x.data,         g.data,         mean.data,
                                        rstd.data, gamma.data, out.input.data, out.scale.data, out.shift.data};
  if (exec.on_cuda()) return layer_norm_backward_cuda(exec, arguments);
  const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(length * x.cols, 1));
  parallel_for(exec.threads(), samples, grain,
               [&](int64_t begin, int64_t end) { run_widest<BackwardOfSamples>(arguments, begin, end); });
}

}  // namespace sotto::kernels
