#pragma once
#include "base/instruction_set.h"
#include "kernels/convolution/convolution.h"

namespace sotto::kernels {

// A position in depth, height and width.
struct Place {
  int64_t d, h, w;
};

SOTTO_HOST_DEVICE inline Place place_of(int64_t index, const int64_t (&sizes)[3]) {
  return {index / (sizes[1] * sizes[2]), index / sizes[2] % sizes[1], index % sizes[2]};
}

// Which place of an input channel tap `k` meets at `y` of the output, or -1 in the padding.
SOTTO_HOST_DEVICE inline int64_t place_met(const ConvolutionShape& shape, const Place& k, const Place& y) {
  const int64_t d = y.d * shape.stride[0] + k.d * shape.dilation[0] - shape.padding[0];
  const int64_t h = y.h * shape.stride[1] + k.h * shape.dilation[1] - shape.padding[1];
  const int64_t w = y.w * shape.stride[2] + k.w * shape.dilation[2] - shape.padding[2];
  const bool inside = d >= 0 && d < shape.input[0] && h >= 0 && h < shape.input[1] && w >= 0 && w < shape.input[2];
  return inside ? (d * shape.input[1] + h) * shape.input[2] + w : -1;
}

// Throws invalid_argument for sizes that cannot be those of a convolution.
void require_convolution(const ConvolutionShape& shape);

// Positions whose products are summed in one chain of floats: long enough to keep sums in registers, short enough for
// the block to stay in the first-level cache and to round little.
constexpr int64_t kConvolutionChain = 128;

struct ConvolutionGradients {
  ConvolutionShape shape;
  const float *x, *g;
  float *weight_rows, *bias_rows;    // bias_rows may be null
  Bfloat16* rounded_rows = nullptr;  // in place of weight_rows
};

void convolution_gradients_cpu(const Exec& exec, const ConvolutionGradients& work,
                               InstructionSet set = best_instruction_set());
void convolution_gradients_cuda(const Exec& exec, const ConvolutionGradients& work);

}  // namespace sotto::kernels
