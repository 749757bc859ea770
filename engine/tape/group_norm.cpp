#include "kernels/group_norm/group_norm.h"

#include "base/error.h"
#include "engine/tape/norm_gradients.h"

namespace sotto {
namespace {

struct GroupNormUse {
  RecorderPointer recorder;
  at::Tensor weight, bias;  // as passed; either may be frozen or absent
  int64_t weight_index, bias_index;
  int64_t groups;
  BatchLayout layout;
};

struct GroupNormFunction : torch::autograd::Function<GroupNormFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input, const at::Tensor&,
                            std::shared_ptr<GroupNormUse> use, double epsilon) {
    const at::Tensor x = input.contiguous();
    const int64_t rows = x.size(0), channels = x.size(1), positions = x.numel() / std::max<int64_t>(rows * channels, 1);
    auto [output, mean, rstd] =
        at::native_group_norm(x, use->weight, use->bias, rows, channels, positions, use->groups, epsilon);
    carry(context, use);
    context->save_for_backward({x, mean, rstd});
    return output;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    const CaptureOff off(kCaptureKey);
    const GroupNormUse& use = carried<GroupNormUse>(context);
    const auto saved = context->get_saved_variables();
    const int64_t rows = saved[0].size(0), channels = saved[0].size(1);
    const auto flat = [&](const at::Tensor& x) { return x.to(at::kFloat).contiguous().view({rows * channels, -1}); };
    const at::Tensor x = flat(saved[0].detach()), g = flat(outputs[0]), mean = saved[1].to(at::kFloat).contiguous(),
                     rstd = saved[2].to(at::kFloat).contiguous(),
                     gamma = use.weight.defined() ? use.weight.detach().to(at::kFloat).contiguous() : at::Tensor();
    NormBuffers out(rows, channels, x, context->needs_input_grad(0), use.weight_index >= 0, use.bias_index >= 0);
    kernels::group_norm_backward(use.recorder->exec, rows, matrix_of(x), matrix_of(g), vector_of(mean), vector_of(rstd),
                                 vector_of(gamma), out.views());
    // A sample may have several rows: the frames of a video.
    const auto store = [&](int64_t index, const at::Tensor& by_row) {
      if (index < 0) return;
      const at::Tensor by_sample = use.recorder->by_sample(by_row, use.layout);
      use.recorder->store(index, use.layout.merged ? by_sample.sum(1) : by_sample);
    };
    store(use.weight_index, out.scale);
    store(use.bias_index, out.shift);
    return {out.input.defined() ? out.input.view(saved[0].sizes()).to(saved[0].scalar_type()) : at::Tensor(),
            at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

// The normalised input where the rule applies.
std::optional<at::Tensor> group_norm_rule(const char* operation, const at::Tensor& input, int64_t groups,
                                          const at::Tensor& weight, const at::Tensor& bias, double epsilon) {
  const RecorderPointer recorder = current_recorder();
  if (!recorder || input.dim() < 2) return std::nullopt;
  GroupNormUse use = {recorder, weight, bias, recorder->find(weight), recorder->find(bias), groups, {}};
  if (is_foreign(use.weight_index, weight) || is_foreign(use.bias_index, bias)) return std::nullopt;
  if (use.weight_index < 0 && use.bias_index < 0) return std::nullopt;
  for (const int64_t index : {use.weight_index, use.bias_index})
    if (index >= 0) use.layout = recorder->record_use(index, operation, input);
  if (use.layout.dimension != 0 && !recorder->observing)
    recorder->refuse(cat("parameter ", recorder->parameters.name(std::max(use.weight_index, use.bias_index)), ": its ",
                         operation, " of an input of shape ", input.sizes(), " has the batch in dimension ",
                         use.layout.dimension, " and normalises over it, so samples mix; put the batch first"));
  const AutocastOff in_floats;
  return GroupNormFunction::apply(in_float(input), recorder->anchor, std::make_shared<GroupNormUse>(std::move(use)),
                                  epsilon);
}

at::Tensor captured_group_norm(const at::Tensor& input, int64_t groups, const std::optional<at::Tensor>& weight,
                               const std::optional<at::Tensor>& bias, double epsilon, bool cudnn) {
  const CaptureOff off(kCaptureKey);
  const auto output =
      group_norm_rule("group_norm", input, groups, weight.value_or(at::Tensor()), bias.value_or(at::Tensor()), epsilon);
  return output ? *output : at::group_norm(input, groups, weight, bias, epsilon, cudnn);
}

// Statistics of a sample's own channel are group normalisation with a group a channel.
at::Tensor captured_instance_norm(const at::Tensor& input, const std::optional<at::Tensor>& weight,
                                  const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& running_mean,
                                  const std::optional<at::Tensor>& running_variance, bool use_input_statistics,
                                  double momentum, double epsilon, bool cudnn) {
  const CaptureOff off(kCaptureKey);
  const RecorderPointer recorder = current_recorder();
  const at::Tensor scale = weight.value_or(at::Tensor()), shift = bias.value_or(at::Tensor());
  if (recorder) {
    const int64_t index = std::max(recorder->find(scale), recorder->find(shift));
    const std::string name = index >= 0 ? cat(" (parameter ", recorder->parameters.name(index), ")") : "";
    if (use_input_statistics && running_mean && running_mean->defined())
      recorder->refuse(cat("instance normalisation", name,
                           " keeps running statistics of the batches, which would leave with the model and without "
                           "noise; set track_running_stats to false"));
    if (!use_input_statistics && index >= 0)
      recorder->refuse(cat("instance normalisation", name,
                           " trains on running statistics, which no private step updates; set track_running_stats to "
                           "false, or freeze it with requires_grad_(false)"));
    if (use_input_statistics && input.dim() >= 2)
      if (const auto output = group_norm_rule("instance_norm", input, input.size(1), scale, shift, epsilon))
        return *output;
  }
  return at::instance_norm(input, weight, bias, running_mean, running_variance, use_input_statistics, momentum, epsilon,
                           cudnn);
}

}  // namespace

void register_group_norm_rules(torch::Library& library) {
  library.impl("group_norm", &captured_group_norm);
  library.impl("instance_norm", &captured_instance_norm);
}

}  // namespace sotto
