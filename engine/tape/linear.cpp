#include "base/error.h"
#include "engine/tape/recorder.h"

namespace sotto {
namespace {

struct LinearUse {
  RecorderPointer recorder;
  at::Tensor weight, bias;           // as passed; either may be frozen
  int64_t weight_index, bias_index;  // -1: not owned
  BatchLayout layout;
  // [batch · length, features], a sample's rows together
  at::Tensor rows(const at::Tensor& x) const {
    return recorder->by_sample(x, layout).reshape({-1, x.size(-1)}).contiguous();
  }
};

// Per-sample gradients instead of factors where they take no more memory than the factors would: they cost no extra
// FLOPs (they replace the weight gradient), and both factors are free at once. research: CPU trial, "stored".
bool store_pays(const Tape::Recorder& recorder, int64_t length, int64_t p, int64_t d) {
  return length > 1 && p * d <= length * (p + d) &&
         recorder.batch * p * d * static_cast<int64_t>(sizeof(float)) <= recorder.storage_left;
}

void take_weight(const LinearUse& use, const at::Tensor& activation, const at::Tensor& gradient) {
  Tape::Recorder& recorder = *use.recorder;
  const int64_t p = gradient.size(1), d = activation.size(1), length = gradient.size(0) / recorder.batch;
  const bool only_use = recorder.uses[static_cast<size_t>(use.weight_index)] == 1;
  if (only_use && store_pays(recorder, length, p, d)) {
    const at::Tensor per_sample = at::bmm(gradient.view({recorder.batch, length, p}).transpose(1, 2),
                                          activation.view({recorder.batch, length, d}));
    recorder.storage_left -= per_sample.nbytes();
    return recorder.store(use.weight_index, per_sample.view({recorder.batch, p * d}));
  }
  const bool carries_bias =
      only_use && use.bias_index >= 0 && length == 1 && recorder.uses[static_cast<size_t>(use.bias_index)] == 1;
  if (carries_bias) recorder.samples(use.bias_index).carried = true;
  recorder.samples(use.weight_index)
      .factored.push_back({activation, gradient, length, carries_bias ? use.bias_index : -1});
}

struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input, const at::Tensor&,
                            std::shared_ptr<LinearUse> use) {
    carry(context, use);
    if (use->weight_index >= 0) context->save_for_backward({input});
    return at::linear(input, use->weight, use->bias);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    const CaptureOff off(kCaptureKey);
    const LinearUse& use = carried<LinearUse>(context);
    const at::Tensor gradient = use.rows(outputs[0]);
    if (use.weight_index >= 0) take_weight(use, use.rows(context->get_saved_variables()[0].detach()), gradient);
    if (use.bias_index >= 0 && !use.recorder->samples(use.bias_index).carried)
      use.recorder->store(use.bias_index, gradient.view({use.recorder->batch, -1, gradient.size(1)}).sum(1));
    at::Tensor input_gradient;
    if (context->needs_input_grad(0)) {
      std::vector<int64_t> shape = outputs[0].sizes().vec();
      shape.back() = use.weight.size(1);
      const bool in_order = use.layout == BatchLayout{} || use.layout == BatchLayout{.merged = true};
      input_gradient =
          at::mm(in_order ? gradient : outputs[0].reshape({-1, outputs[0].size(-1)}), use.weight).view(shape);
    }
    return {input_gradient, at::Tensor(), at::Tensor()};
  }
};

// The function that a linear layer computes, whatever operator it came through; nothing where no rule applies.
std::optional<at::Tensor> linear_rule(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias) {
  const RecorderPointer recorder = current_recorder();
  if (!recorder) return std::nullopt;
  const int64_t weight_index = recorder->find(weight), bias_index = recorder->find(bias);
  if (weight_index < 0 && bias_index < 0) return std::nullopt;
  // A weight that is trained but is not a parameter itself (a cast, a slice): the coverage walk names its parameter.
  if (weight_index < 0 && weight.requires_grad()) return std::nullopt;
  BatchLayout layout;
  if (weight_index >= 0) layout = recorder->record_use(weight_index, "linear", input);
  if (bias_index >= 0) layout = recorder->record_use(bias_index, "linear", input);
  auto use = std::make_shared<LinearUse>(LinearUse{recorder, weight, bias, weight_index, bias_index, layout});
  return LinearFunction::apply(input, recorder->anchor, std::move(use));
}

at::Tensor captured_linear(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const CaptureOff off(kCaptureKey);
  if (const auto output = linear_rule(input, weight, bias.value_or(at::Tensor()))) return *output;
  return at::linear(input, weight, bias);
}

// The matrix that `tensor` is the plain transpose of, or an undefined tensor. torch::nn::Linear passes weight.t().
at::Tensor transposed_of(const at::Tensor& tensor) {
  if (tensor.dim() != 2 || !tensor.is_view()) return {};
  const at::Tensor base(tensor._base());
  const bool plain = base.dim() == 2 && base.size(0) == tensor.size(1) && base.size(1) == tensor.size(0) &&
                     base.stride(0) == tensor.stride(1) && base.stride(1) == tensor.stride(0) &&
                     base.storage_offset() == tensor.storage_offset();
  return plain ? base : at::Tensor();
}

at::Tensor captured_addmm(const at::Tensor& bias, const at::Tensor& input, const at::Tensor& matrix,
                          const at::Scalar& beta, const at::Scalar& alpha) {
  const CaptureOff off(kCaptureKey);
  const at::Tensor weight = transposed_of(matrix);
  if (weight.defined() && bias.dim() == 1 && beta.equal(1) && alpha.equal(1))
    if (const auto output = linear_rule(input, weight, bias)) return *output;
  return at::addmm(bias, input, matrix, beta, alpha);
}

at::Tensor captured_matmul(const at::Tensor& input, const at::Tensor& matrix) {
  const CaptureOff off(kCaptureKey);
  const at::Tensor weight = transposed_of(matrix);
  if (weight.defined() && input.dim() >= 2)
    if (const auto output = linear_rule(input, weight, at::Tensor())) return *output;
  return at::matmul(input, matrix);
}

at::Tensor captured_mm(const at::Tensor& input, const at::Tensor& matrix) {
  const CaptureOff off(kCaptureKey);
  const at::Tensor weight = transposed_of(matrix);
  if (weight.defined())
    if (const auto output = linear_rule(input, weight, at::Tensor())) return *output;
  return at::mm(input, matrix);
}

}  // namespace

void register_linear_rule(torch::Library& library) {
  library.impl("linear", &captured_linear);
  library.impl("addmm", &captured_addmm);
  library.impl("matmul", &captured_matmul);
  library.impl("mm", &captured_mm);
}

}  // namespace sotto
