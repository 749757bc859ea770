#include "engine/tape/linear.h"

#include "base/error.h"
#include "engine/tape/product.h"

namespace sotto {
namespace {

// A weight as rows of its parameter, or as their transpose.
struct WeightRows {
  int64_t parameter = -1;
  int64_t first_row = 0;
  bool exchanged = false;  // the parameter is [inputs, outputs]: activation and gradient change places
  bool whole = true;
};

struct LinearUse {
  RecorderPointer recorder;
  at::Tensor weight, bias;  // as they are multiplied; either may be frozen
  WeightRows rows;
  ParameterView bias_view;
  BatchLayout layout;
  // [batch · length, features], a sample's rows together
  at::Tensor by_sample(const at::Tensor& x) const {
    return recorder->by_sample(x, layout).reshape({-1, x.size(-1)}).contiguous();
  }
  int64_t uses_of(int64_t parameter) const { return recorder->uses[static_cast<size_t>(parameter)]; }
};

void take_weight(const LinearUse& use, at::Tensor activation, at::Tensor gradient) {
  Tape::Recorder& recorder = *use.recorder;
  const int64_t weight = use.rows.parameter, bias = use.bias_view.parameter;
  if (use.rows.exchanged) std::swap(activation, gradient);
  const int64_t p = gradient.size(1), d = activation.size(1), length = gradient.size(0) / recorder.batch;
  const bool only_use = use.uses_of(weight) == 1;
  if (only_use && use.rows.whole && length > 1) {
    take_product(
        recorder,
        recorder.choose(
            {.parameter = weight, .length = length, .rows = p, .columns = d, .factors = gradient.scalar_type()}),
        weight, activation, gradient);
    return recorder.measure_beside(weight);
  }
  const bool carries_bias = only_use && length == 1 && use.rows.whole && !use.rows.exchanged && bias >= 0 &&
                            use.uses_of(bias) == 1 && recorder.parameters.tensor(bias).numel() == p;
  if (carries_bias) recorder.samples(bias).carried = true;
  if (length == 1) {  // the kernels of a row a sample take floats, which hold bfloat16 exactly
    activation = activation.to(at::kFloat);
    gradient = gradient.to(at::kFloat);
  }
  recorder.samples(weight).factored.push_back(
      {activation, gradient, length, carries_bias ? bias : -1, use.rows.first_row});
}

void take_bias(const LinearUse& use, const at::Tensor& gradient) {
  Tape::Recorder& recorder = *use.recorder;
  if (recorder.samples(use.bias_view.parameter).carried) return;
  const int64_t elements = recorder.parameters.tensor(use.bias_view.parameter).numel();
  recorder.store(use.bias_view.parameter,
                 rows_of_view(use.bias_view, elements,
                              gradient.view({recorder.batch, -1, gradient.size(1)}).sum(1, false, at::kFloat)));
}

struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input, const at::Tensor&,
                            std::shared_ptr<LinearUse> use) {
    carry(context, use);
    if (use->rows.parameter >= 0) context->save_for_backward({input});
    return at::linear(input, use->weight, use->bias);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    const CaptureOff off(kCaptureKey);
    const LinearUse& use = carried<LinearUse>(context);
    const at::Tensor gradient = use.by_sample(outputs[0]);
    if (use.rows.parameter >= 0) take_weight(use, use.by_sample(context->get_saved_variables()[0].detach()), gradient);
    if (use.bias_view.parameter >= 0) take_bias(use, gradient);
    at::Tensor input_gradient;
    if (context->needs_input_grad(0)) {
      std::vector<int64_t> shape = outputs[0].sizes().vec();
      shape.back() = use.weight.size(1);
      const bool in_order = use.layout.dimension == 0 && !use.layout.position_first;
      const at::Tensor rows = in_order ? gradient : outputs[0].reshape({-1, outputs[0].size(-1)});
      input_gradient = at::_unsafe_view(at::mm(rows, use.weight), shape);  // which keeps hold of no other tensor
    }
    return {input_gradient, at::Tensor(), at::Tensor()};
  }
};

WeightRows rows_of(const Tape::Recorder& recorder, const at::Tensor& weight) {
  if (weight.dim() != 2) return {};
  for (const bool exchanged : {false, true}) {
    const ParameterView view = find_view(recorder, exchanged ? weight.t() : weight);
    if (view.parameter < 0 || view.gathered >= 0) return {};
    const int64_t rows = view.sizes[0], columns = view.sizes[1],
                  elements = recorder.parameters.tensor(view.parameter).numel();
    const bool expanded = rows * columns != weight.numel();
    const bool in_rows = (columns == 1 || view.strides[1] == 1) && (rows == 1 || view.strides[0] == columns);
    if (!expanded && in_rows && columns > 0 && elements % columns == 0 && view.offset % columns == 0)
      return {view.parameter, view.offset / columns, exchanged, rows * columns == elements};
  }
  return {};
}

at::Tensor captured_linear(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  std::optional<at::Tensor> output;
  {
    const CaptureOff off(kCaptureKey);
    if ((output = linear_rule(input, weight, bias.value_or(at::Tensor())))) return *output;
    if (weight.dim() == 2) output = matmul_rule(input, weight.t());
    if (!output) return at::linear(input, weight, bias);
  }
  return bias && bias->defined() ? at::add(*output, *bias) : *output;  // the bias may be a parameter too
}

}  // namespace

std::optional<at::Tensor> linear_rule(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias) {
  const RecorderPointer recorder = recorder_of_forward();
  if (!recorder || input.dim() < 2) return std::nullopt;
  const WeightRows rows = rows_of(*recorder, weight);
  const ParameterView bias_view = find_view(*recorder, bias);
  if (rows.parameter < 0 && bias_view.parameter < 0) return std::nullopt;
  // What is trained but neither a parameter nor rows of one (a cast, say): the coverage walk names its parameter.
  if (rows.parameter < 0 && weight.requires_grad()) return std::nullopt;
  if (bias.defined() && bias.requires_grad() &&
      (bias_view.parameter < 0 || bias_view.gathered >= 0 || bias.dim() != 1 || bias_view.sizes != bias.sizes()))
    return std::nullopt;
  BatchLayout layout;
  if (rows.parameter >= 0) layout = recorder->record_use(rows.parameter, "linear", input);
  if (bias_view.parameter >= 0) layout = recorder->record_use(bias_view.parameter, "linear", input);
  auto use = std::make_shared<LinearUse>(
      LinearUse{recorder, recorder->constant_factor(weight), recorder->constant_factor(bias), rows, bias_view, layout});
  return LinearFunction::apply(recorder->factor(input), recorder->anchor, std::move(use));
}

void register_linear_rule(torch::Library& library) {
  library.impl("linear", &captured_linear);
}

}  // namespace sotto
