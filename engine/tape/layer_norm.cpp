#include "engine/tape/recorder.h"

namespace sotto {
namespace {

struct LayerNormUse {
  RecorderPointer recorder;
  at::Tensor weight, bias;  // as passed; either may be frozen or absent
  int64_t weight_index, bias_index;
  std::vector<int64_t> shape;
  BatchLayout layout;
};

struct LayerNormFunction : torch::autograd::Function<LayerNormFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input, const at::Tensor&,
                            std::shared_ptr<LayerNormUse> use, double epsilon) {
    auto [output, mean, rstd] = at::native_layer_norm(input, use->shape, use->weight, use->bias, epsilon);
    carry(context, use);
    context->save_for_backward({input, mean, rstd});
    return output;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    const CaptureOff off(kCaptureKey);
    const LayerNormUse& use = carried<LayerNormUse>(context);
    const auto saved = context->get_saved_variables();
    const at::Tensor &input = saved[0], &mean = saved[1], &rstd = saved[2];
    const int64_t batch = use.recorder->batch, elements = c10::multiply_integers(use.shape);
    // γ: Σ_t g ⊙ x̂ and β: Σ_t g, each summed over a sample's own positions only.
    const auto a_sample = [&](const at::Tensor& x) {
      return use.recorder->by_sample(x, use.layout).reshape({batch, -1, elements}).sum(1);
    };
    if (use.weight_index >= 0)
      use.recorder->store(use.weight_index, a_sample((input - mean).mul_(rstd).mul_(outputs[0])));
    if (use.bias_index >= 0) use.recorder->store(use.bias_index, a_sample(outputs[0]));
    at::Tensor input_gradient;
    if (context->needs_input_grad(0))
      input_gradient = std::get<0>(at::native_layer_norm_backward(outputs[0].contiguous(), input, use.shape, mean, rstd,
                                                                  use.weight, use.bias, {true, false, false}));
    return {input_gradient, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

at::Tensor captured_layer_norm(const at::Tensor& input, c10::SymIntArrayRef shape,
                               const std::optional<at::Tensor>& weight, const std::optional<at::Tensor>& bias,
                               double epsilon, bool cudnn) {
  const CaptureOff off(kCaptureKey);
  const RecorderPointer recorder = current_recorder();
  const at::Tensor weight_tensor = weight.value_or(at::Tensor()), bias_tensor = bias.value_or(at::Tensor());
  const int64_t weight_index = recorder ? recorder->find(weight_tensor) : -1;
  const int64_t bias_index = recorder ? recorder->find(bias_tensor) : -1;
  const bool foreign = weight_index < 0 && weight_tensor.defined() && weight_tensor.requires_grad();
  if ((weight_index < 0 && bias_index < 0) || foreign)
    return at::layer_norm_symint(input, shape, weight, bias, epsilon, cudnn);
  BatchLayout layout;
  if (weight_index >= 0) layout = recorder->record_use(weight_index, "layer_norm", input);
  if (bias_index >= 0) layout = recorder->record_use(bias_index, "layer_norm", input);
  const auto sizes = C10_AS_INTARRAYREF_SLOW(shape).vec();
  return LayerNormFunction::apply(input, recorder->anchor,
                                  std::make_shared<LayerNormUse>(LayerNormUse{recorder, weight_tensor, bias_tensor,
                                                                              weight_index, bias_index, sizes, layout}),
                                  epsilon);
}

}  // namespace

void register_layer_norm_rule(torch::Library& library) {
  library.impl("layer_norm", &captured_layer_norm);
}

}  // namespace sotto
