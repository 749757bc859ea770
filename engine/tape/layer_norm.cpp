#include "kernels/layer_norm/layer_norm.h"

#include "base/error.h"
#include "engine/tape/norm_gradients.h"

namespace sotto {
namespace {

struct RowNormUse {
  RecorderPointer recorder;
  at::Tensor weight, bias;  // as passed; either may be frozen or absent
  int64_t weight_index, bias_index;
  std::vector<int64_t> shape;
  BatchLayout layout;
};

// Where the samples' rows are, if no copy is needed for that: batch first, or position first. Else all zero.
kernels::SampleRows sample_rows(const RowNormUse& use, const at::Tensor& input, int64_t rows) {
  const int64_t batch = use.recorder->batch, length = rows / batch, dimension = use.layout.dimension;
  const bool batch_first = use.layout.merged ? !use.layout.position_first : dimension == 0;
  if (batch_first) return {batch, length, length, 1};
  // Behind the batch's dimension there may be the normalised ones alone.
  const bool together =
      use.layout.merged ? input.size(0) == rows : dimension + 1 + static_cast<int64_t>(use.shape.size()) == input.dim();
  return together ? kernels::SampleRows{batch, length, 1, batch} : kernels::SampleRows{0, 0, 0, 0};
}

// γ: Σ_t g ⊙ x̂ and β: Σ_t g over a sample's own rows, with the input's gradient, in one pass. `mean` undefined: RMS.
at::Tensor backward_of_rows(const RowNormUse& use, const at::Tensor& input, const at::Tensor& mean,
                            const at::Tensor& rstd, const at::Tensor& output_gradient, bool needs_input) {
  const int64_t elements = c10::multiply_integers(use.shape), rows = input.numel() / std::max<int64_t>(elements, 1);
  kernels::SampleRows places = sample_rows(use, input, rows);
  const bool copied = places.samples == 0 && rows > 0;
  const auto flat = [&](const at::Tensor& x, int64_t columns) {
    const at::Tensor ordered = copied ? use.recorder->by_sample(x, use.layout) : x;
    return ordered.reshape({-1, columns}).to(at::kFloat).contiguous();
  };
  if (copied) places = {use.recorder->batch, rows / use.recorder->batch, rows / use.recorder->batch, 1};
  const at::Tensor x = flat(input.detach(), elements), g = flat(output_gradient, elements), deviation = flat(rstd, 1),
                   means = mean.defined() ? flat(mean, 1) : at::Tensor(),
                   gamma = use.weight.defined() ? use.weight.detach().to(at::kFloat).contiguous() : at::Tensor();
  NormBuffers out(use.recorder->batch, elements, x, needs_input, use.weight_index >= 0, use.bias_index >= 0);
  kernels::layer_norm_backward(use.recorder->exec, places, matrix_of(x), matrix_of(g), vector_of(means),
                               vector_of(deviation), vector_of(gamma), out.views());
  if (use.weight_index >= 0) use.recorder->store(use.weight_index, out.scale);
  if (use.bias_index >= 0) use.recorder->store(use.bias_index, out.shift);
  if (!needs_input) return {};
  if (!copied) return out.input.view(input.sizes()).to(input.scalar_type());
  at::Tensor gradient = at::empty(input.sizes(), out.input.options());
  const at::Tensor ordered = use.recorder->by_sample(gradient, use.layout);
  ordered.copy_(out.input.view(ordered.sizes()));
  return gradient.to(input.scalar_type());
}

struct LayerNormFunction : torch::autograd::Function<LayerNormFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input, const at::Tensor&,
                            std::shared_ptr<RowNormUse> use, double epsilon) {
    auto [output, mean, rstd] = at::native_layer_norm(input, use->shape, use->weight, use->bias, epsilon);
    carry(context, use);
    context->save_for_backward({input, mean, rstd});
    return output;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    const CaptureOff off(kCaptureKey);
    const auto saved = context->get_saved_variables();
    return {backward_of_rows(carried<RowNormUse>(context), saved[0], saved[1], saved[2], outputs[0],
                             context->needs_input_grad(0)),
            at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct RmsNormFunction : torch::autograd::Function<RmsNormFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input, const at::Tensor&,
                            std::shared_ptr<RowNormUse> use, std::optional<double> epsilon) {
    auto [output, rstd] = at::_fused_rms_norm(input, use->shape, use->weight, epsilon);
    carry(context, use);
    context->save_for_backward({input, rstd});
    return output;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    const CaptureOff off(kCaptureKey);
    const auto saved = context->get_saved_variables();
    return {backward_of_rows(carried<RowNormUse>(context), saved[0], at::Tensor(), saved[1], outputs[0],
                             context->needs_input_grad(0)),
            at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

// The use, counted and placed; null where no rule applies.
std::shared_ptr<RowNormUse> row_norm_use(const char* operation, const at::Tensor& input, at::IntArrayRef shape,
                                         const at::Tensor& weight, const at::Tensor& bias) {
  const RecorderPointer recorder = current_recorder();
  if (!recorder) return nullptr;
  RowNormUse use = {recorder, weight, bias, recorder->find(weight), recorder->find(bias), shape.vec(), {}};
  if (is_foreign(use.weight_index, weight) || is_foreign(use.bias_index, bias)) return nullptr;
  if (use.weight_index < 0 && use.bias_index < 0) return nullptr;
  for (const int64_t index : {use.weight_index, use.bias_index})
    if (index >= 0) use.layout = recorder->record_use(index, operation, input);
  const int64_t index = std::max(use.weight_index, use.bias_index),
                positions = input.dim() - static_cast<int64_t>(shape.size());
  if (use.layout.dimension >= positions && !recorder->observing)
    recorder->refuse(cat("parameter ", recorder->parameters.name(index), ": its ", operation, " over ", shape,
                         " of an input of shape ", input.sizes(), " normalises over the batch, so samples mix"));
  return std::make_shared<RowNormUse>(std::move(use));
}

at::Tensor captured_layer_norm(const at::Tensor& input, c10::SymIntArrayRef shape,
                               const std::optional<at::Tensor>& weight, const std::optional<at::Tensor>& bias,
                               double epsilon, bool cudnn) {
  const CaptureOff off(kCaptureKey);
  const auto use = row_norm_use("layer_norm", input, C10_AS_INTARRAYREF_SLOW(shape), weight.value_or(at::Tensor()),
                                bias.value_or(at::Tensor()));
  if (!use) return at::layer_norm_symint(input, shape, weight, bias, epsilon, cudnn);
  const AutocastOff in_floats;
  return LayerNormFunction::apply(in_float(input), use->recorder->anchor, use, epsilon);
}

at::Tensor captured_rms_norm(const at::Tensor& input, c10::SymIntArrayRef shape,
                             const std::optional<at::Tensor>& weight, std::optional<double> epsilon) {
  const CaptureOff off(kCaptureKey);
  const auto use =
      row_norm_use("rms_norm", input, C10_AS_INTARRAYREF_SLOW(shape), weight.value_or(at::Tensor()), at::Tensor());
  if (!use) return at::rms_norm_symint(input, shape, weight, epsilon);
  const AutocastOff in_floats;
  return RmsNormFunction::apply(in_float(input), use->recorder->anchor, use, epsilon);
}

}  // namespace

void register_layer_norm_rule(torch::Library& library) {
  library.impl("layer_norm", &captured_layer_norm);
  library.impl("rms_norm", &captured_rms_norm);
}

}  // namespace sotto
