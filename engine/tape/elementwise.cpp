#include <ATen/ExpandUtils.h>

#include "engine/tape/parameter_view.h"

namespace sotto {
namespace {

struct Operands {
  at::Tensor a, b;
};

// The operands of an elementwise operator with a parameter in one of them expanded to the samples in the other:
// position tables, scales, temperatures, gates. Two parameters, or a parameter and a number, have no batch and stay as
// they are.
Operands expanded(const char* operation, const at::Tensor& a, const at::Tensor& b) {
  const RecorderPointer recorder = recorder_of_forward();
  if (!recorder) return {a, b};
  const ParameterView of_a = find_view(*recorder, a), of_b = find_view(*recorder, b);
  if ((of_a.parameter < 0) == (of_b.parameter < 0)) return {a, b};
  const bool first = of_a.parameter >= 0;
  const ParameterView& view = first ? of_a : of_b;
  const at::Tensor& x = first ? b : a;
  if (x.dim() == 0) return {a, b};
  const std::vector<int64_t> sizes = at::infer_size(a.sizes(), b.sizes());
  if (!repeats(view, sizes, recorder->batch)) return {a, b};
  const BatchLayout layout = recorder->record_use(view.parameter, operation, x.expand(sizes));
  const at::Tensor parameter = expand_to_samples(recorder, view, first ? a : b, sizes, layout);
  return first ? Operands{parameter, b} : Operands{a, parameter};
}

at::Tensor captured_add(const at::Tensor& a, const at::Tensor& b, const at::Scalar& alpha) {
  const CaptureOff off(kCaptureKey);
  const Operands operands = expanded("add", a, b);
  return at::add(operands.a, operands.b, alpha);
}

at::Tensor captured_sub(const at::Tensor& a, const at::Tensor& b, const at::Scalar& alpha) {
  const CaptureOff off(kCaptureKey);
  const Operands operands = expanded("sub", a, b);
  return at::sub(operands.a, operands.b, alpha);
}

at::Tensor captured_mul(const at::Tensor& a, const at::Tensor& b) {
  const CaptureOff off(kCaptureKey);
  const Operands operands = expanded("mul", a, b);
  return at::mul(operands.a, operands.b);
}

at::Tensor captured_div(const at::Tensor& a, const at::Tensor& b) {
  const CaptureOff off(kCaptureKey);
  const Operands operands = expanded("div", a, b);
  return at::div(operands.a, operands.b);
}

at::Tensor captured_maximum(const at::Tensor& a, const at::Tensor& b) {
  const CaptureOff off(kCaptureKey);
  const Operands operands = expanded("maximum", a, b);
  return at::maximum(operands.a, operands.b);
}

at::Tensor captured_minimum(const at::Tensor& a, const at::Tensor& b) {
  const CaptureOff off(kCaptureKey);
  const Operands operands = expanded("minimum", a, b);
  return at::minimum(operands.a, operands.b);
}

at::Tensor captured_pow(const at::Tensor& a, const at::Tensor& b) {
  const CaptureOff off(kCaptureKey);
  const Operands operands = expanded("pow", a, b);
  return at::pow(operands.a, operands.b);
}

// A mask token: a parameter wherever the mask, which has the batch, says.
at::Tensor captured_where(const at::Tensor& mask, const at::Tensor& a, const at::Tensor& b) {
  const CaptureOff off(kCaptureKey);
  const Operands operands = expanded("where", a, b);
  return at::where(mask, operands.a, operands.b);
}

// In place, only the second operand can be the parameter: the first is written.
at::Tensor& captured_add_in_place(at::Tensor& a, const at::Tensor& b, const at::Scalar& alpha) {
  const CaptureOff off(kCaptureKey);
  return a.add_(expanded("add", a, b).b, alpha);
}

at::Tensor& captured_sub_in_place(at::Tensor& a, const at::Tensor& b, const at::Scalar& alpha) {
  const CaptureOff off(kCaptureKey);
  return a.sub_(expanded("sub", a, b).b, alpha);
}

at::Tensor& captured_mul_in_place(at::Tensor& a, const at::Tensor& b) {
  const CaptureOff off(kCaptureKey);
  return a.mul_(expanded("mul", a, b).b);
}

at::Tensor& captured_div_in_place(at::Tensor& a, const at::Tensor& b) {
  const CaptureOff off(kCaptureKey);
  return a.div_(expanded("div", a, b).b);
}

// One weight, or one a channel of dimension 1; one weight where there is no channel.
at::Tensor captured_prelu(const at::Tensor& input, const at::Tensor& weight) {
  const CaptureOff off(kCaptureKey);
  const AutocastOff in_floats;
  const at::Tensor x = in_float(input);
  const RecorderPointer recorder = recorder_of_forward();
  const ParameterView own = recorder ? find_view(*recorder, weight) : ParameterView{};
  if (own.parameter < 0 || weight.dim() > 1 || x.dim() == 0) return at::prelu(x, weight);
  std::vector<int64_t> sizes(static_cast<size_t>(x.dim()), 1);
  if (weight.numel() != 1) {
    if (x.dim() < 2 || weight.numel() != x.size(1)) return at::prelu(x, weight);  // which says what is wrong
    sizes[1] = weight.numel();
  }
  const at::Tensor shaped = weight.view(sizes);
  const BatchLayout layout = recorder->record_use(own.parameter, "prelu", x);
  const ParameterView view = find_view(*recorder, shaped);
  return at::_prelu_kernel(x, expand_to_samples(recorder, view, shaped, x.sizes(), layout));
}

// As at::relu. Its gradient takes the place of the one that comes in where nobody else has that: beside the factors
// that wait for the norms, one buffer of a layer's size less when memory is scarcest.
struct ReluFunction : torch::autograd::Function<ReluFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input) {
    const at::Tensor output = at::relu(input);
    context->save_for_backward({output});
    return output;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list& gradients) {
    const CaptureOff off(kCaptureKey);
    at::Tensor gradient = std::move(gradients[0]);
    const at::Tensor output = context->get_saved_variables()[0];
    const bool own = gradient.use_count() == 1 && gradient.storage().use_count() == 1 &&
                     gradient.layout() == at::kStrided && gradient.is_non_overlapping_and_dense() &&
                     !gradient.requires_grad();
    if (!own) return {at::threshold_backward(gradient, output, 0)};
    at::threshold_backward_out(gradient, gradient, output, 0);
    return {gradient};
  }
};

at::Tensor captured_relu(const at::Tensor& input) {
  const CaptureOff off(kCaptureKey);
  const RecorderPointer recorder = current_recorder();
  if (!recorder || recorder->in_backward || !input.requires_grad()) return at::relu(input);
  return ReluFunction::apply(input);
}

}  // namespace

void register_elementwise_rules(torch::Library& library) {
  library.impl("add.Tensor", &captured_add);
  library.impl("add_.Tensor", &captured_add_in_place);
  library.impl("sub.Tensor", &captured_sub);
  library.impl("sub_.Tensor", &captured_sub_in_place);
  library.impl("mul.Tensor", &captured_mul);
  library.impl("mul_.Tensor", &captured_mul_in_place);
  library.impl("div.Tensor", &captured_div);
  library.impl("div_.Tensor", &captured_div_in_place);
  library.impl("maximum", &captured_maximum);
  library.impl("minimum", &captured_minimum);
  library.impl("pow.Tensor_Tensor", &captured_pow);
  library.impl("where.self", &captured_where);
  library.impl("prelu", &captured_prelu);
  library.impl("relu", &captured_relu);
}

}  // namespace sotto
