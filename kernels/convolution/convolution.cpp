#include "kernels/convolution/convolution.h"

#include <initializer_list>

#include "base/error.h"
#include "kernels/convolution/convolution_impl.h"

namespace sotto::kernels {
namespace {

void check_dimension(const ConvolutionShape& s, int k) {
  require(s.input[k] >= 0 && s.output[k] >= 0 && s.padding[k] >= 0, "dimension ", k, ": input ", s.input[k],
          ", output ", s.output[k], " and padding ", s.padding[k], " must not be negative");
  require(s.kernel[k] >= 1 && s.stride[k] >= 1 && s.dilation[k] >= 1, "dimension ", k, ": kernel ", s.kernel[k],
          ", stride ", s.stride[k], " and dilation ", s.dilation[k], " must be at least 1");
  const int64_t reach = (s.output[k] - 1) * s.stride[k] + (s.kernel[k] - 1) * s.dilation[k] + 1;
  require(s.output[k] == 0 || reach <= s.input[k] + 2 * s.padding[k], "dimension ", k, ": ", s.output[k],
          " outputs reach ", reach, " inputs, there are ", s.input[k], " and ", s.padding[k],
          " of padding on each side");
}

template <class Row>
void check(const ConvolutionShape& s, MatrixView<Row> weight_rows, MatrixView<float> bias_rows) {
  require_convolution(s);
  require(weight_rows.rows == s.samples && weight_rows.cols == s.elements(), "need a gradient of ", s.elements(),
          " elements for each of ", s.samples, " samples, got room for ", weight_rows.rows, " of ", weight_rows.cols);
  require(!bias_rows.data || (bias_rows.rows == s.samples && bias_rows.cols == s.out_channels),
          "need a bias gradient of ", s.out_channels, " for each of ", s.samples, " samples, got room for ",
          bias_rows.rows, " of ", bias_rows.cols);
}

void take_gradients(const Exec& exec, const ConvolutionGradients& work) {
  if (work.shape.samples == 0 || work.shape.out_channels == 0) return;
  if (exec.on_cuda()) return convolution_gradients_cuda(exec, work);
  convolution_gradients_cpu(exec, work);
}

}  // namespace

void require_convolution(const ConvolutionShape& s) {
  require(s.groups >= 1 && s.in_channels >= 0 && s.out_channels >= 0 && s.in_channels % s.groups == 0 &&
              s.out_channels % s.groups == 0,
          s.in_channels, " input and ", s.out_channels, " output channels do not fall into ", s.groups, " groups");
  for (const int k : {0, 1, 2}) check_dimension(s, k);
}

void convolution_gradients(const Exec& exec, const ConvolutionShape& shape, const float* x, const float* g,
                           MatrixView<float> weight_rows, MatrixView<float> bias_rows) {
  check(shape, weight_rows, bias_rows);
  take_gradients(exec, {shape, x, g, weight_rows.data, bias_rows.data});
}

void convolution_gradients(const Exec& exec, const ConvolutionShape& shape, const float* x, const float* g,
                           MatrixView<Bfloat16> weight_rows, MatrixView<float> bias_rows) {
  check(shape, weight_rows, bias_rows);
  take_gradients(exec, {shape, x, g, nullptr, bias_rows.data, weight_rows.data});
}

}  // namespace sotto::kernels
