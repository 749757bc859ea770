#include "engine/tape/recorder.h"

namespace sotto {
namespace {

// The index of `bias` where x + bias is a layer's bias: a vector over x's last dimension; else -1.
int64_t bias_index(const RecorderPointer& recorder, const at::Tensor& x, const at::Tensor& bias,
                   const at::Scalar& alpha) {
  if (!recorder || bias.dim() != 1 || x.dim() < 2 || x.size(-1) != bias.size(0) || !alpha.equal(1)) return -1;
  return recorder->find(bias);
}

// The bias enters as a constant; its per-sample gradient, Σ_t of the output's, is taken when the output's passes by.
void watch(const RecorderPointer& recorder, int64_t index, const BatchLayout& layout, const at::Tensor& output) {
  output.register_hook([recorder, index, layout](const at::Tensor& gradient) {
    const CaptureOff off(kCaptureKey);
    const at::Tensor by_sample = recorder->by_sample(gradient, layout);
    recorder->store(index, by_sample.reshape({recorder->batch, -1, gradient.size(-1)}).sum(1));
  });
}

at::Tensor captured_add(const at::Tensor& x, const at::Tensor& bias, const at::Scalar& alpha) {
  const CaptureOff off(kCaptureKey);
  const RecorderPointer recorder = current_recorder();
  const int64_t index = bias_index(recorder, x, bias, alpha);
  if (index < 0) return at::add(x, bias, alpha);
  const BatchLayout layout = recorder->record_use(index, "bias", x);
  at::Tensor output = at::add(x, bias.detach(), alpha);
  if (!output.requires_grad()) output = at::add(output, recorder->anchor);  // a leaf could not be changed in place
  watch(recorder, index, layout, output);
  return output;
}

// torch::nn::Linear adds its bias in place for inputs of more than two dimensions.
at::Tensor& captured_add_in_place(at::Tensor& x, const at::Tensor& bias, const at::Scalar& alpha) {
  const CaptureOff off(kCaptureKey);
  const RecorderPointer recorder = current_recorder();
  const int64_t index = bias_index(recorder, x, bias, alpha);
  if (index < 0) return x.add_(bias, alpha);
  const BatchLayout layout = recorder->record_use(index, "bias", x);
  x.add_(bias.detach(), alpha);
  if (!x.requires_grad()) x.add_(recorder->anchor);  // the layer's weight is frozen
  watch(recorder, index, layout, x);
  return x;
}

}  // namespace

void register_bias_rule(torch::Library& library) {
  library.impl("add.Tensor", &captured_add);
  library.impl("add_.Tensor", &captured_add_in_place);
}

}  // namespace sotto
