#pragma once
#include "base/view.h"
#include "cuda/exec.h"
#include "kernels/bfloat16.h"

namespace sotto::kernels {

// A convolution as LibTorch has it (a cross-correlation), of up to three spatial dimensions: depth, height, width. One
// of fewer has size 1, stride 1, padding 0 and dilation 1 in the missing ones. Position y of the output meets position
// y · stride + k · dilation − padding of the input with tap k, in each dimension; outside the input there are zeros.
struct ConvolutionShape {
  int64_t samples, in_channels, out_channels, groups;
  int64_t input[3], output[3], kernel[3];
  int64_t stride[3] = {1, 1, 1}, padding[3] = {0, 0, 0}, dilation[3] = {1, 1, 1};

  SOTTO_HOST_DEVICE int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  SOTTO_HOST_DEVICE int64_t positions() const { return output[0] * output[1] * output[2]; }  // of the output
  SOTTO_HOST_DEVICE int64_t places() const { return input[0] * input[1] * input[2]; }        // of the input
  SOTTO_HOST_DEVICE int64_t elements() const { return out_channels * (in_channels / groups) * taps(); }
};

// The gradients of the weight [out_channels, in_channels / groups, kernel] and of the bias, sample by sample:
//   weight_rows[i][o][c][k] = Σ_y g[i][o][y] · x[i][group(o), c][y · stride + k · dilation − padding]
//   bias_rows[i][o] = Σ_y g[i][o][y]
// x is [samples, in_channels, input], g [samples, out_channels, output], weight_rows [samples, elements()], bias_rows
// [samples, out_channels] or none ({nullptr, 0, 0}). It costs what the batch's weight gradient costs. Of a transposed
// convolution x and g change places. Sums of floats in blocks of at most 256 positions: the result of a sample does not
// depend on the others, on the number of threads or on the block of samples that it is computed in.
void convolution_gradients(const Exec& exec, const ConvolutionShape& shape, const float* x, const float* g,
                           MatrixView<float> weight_rows, MatrixView<float> bias_rows);

// The same, each entry of weight_rows rounded.
void convolution_gradients(const Exec& exec, const ConvolutionShape& shape, const float* x, const float* g,
                           MatrixView<Bfloat16> weight_rows, MatrixView<float> bias_rows);

}  // namespace sotto::kernels
