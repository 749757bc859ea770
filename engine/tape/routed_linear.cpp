#include "engine/models/routed_linear.h"

#include "base/error.h"
#include "engine/tape/recorder.h"
#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/ghost_norms/ghost_norms.h"

namespace sotto {
namespace {

struct RoutedUse {
  RecorderPointer recorder;
  at::Tensor expert, weight, bias;  // as passed; either of the last may be frozen
  int64_t weight_index, bias_index;
  BatchLayout layout;
};

// The rows of a batch by expert, those of an expert by sample: the rows that a sample sent to an expert lie together,
// as segment expert · batch + sample.
struct Routed {
  Exec exec;
  int64_t batch, experts, longest;  // longest: rows of a segment, at most
  at::Tensor a, g, starts;          // [rows, d], [rows, p], [experts · batch + 1]
  at::Tensor starts_on_host;

  MatrixView<const float> rows(const at::Tensor& x, int64_t first, int64_t count) const {
    return {x.const_data_ptr<float>() + first * x.size(1), count, x.size(1)};
  }
  int64_t start(int64_t segment) const { return starts_on_host.const_data_ptr<int64_t>()[segment]; }

  // The gradients of the samples [first, first + count), [count, experts · p · d].
  at::Tensor gradients(int64_t first, int64_t count) const {
    const at::Tensor all = at::zeros({count, experts, g.size(1), a.size(1)}, a.options());
    for (int64_t e = 0; e < experts; ++e)
      for (int64_t i = 0; i < count; ++i) {
        const int64_t segment = e * batch + first + i, begin = start(segment), own = start(segment + 1) - begin;
        at::Tensor made = all.select(0, i).select(0, e);
        if (own > 0) at::mm_out(made, g.narrow(0, begin, own).t(), a.narrow(0, begin, own));
      }
    return all.view({count, -1});
  }

  // Experts share no weight, so their squares add up.
  void add_norms(VectorView<double> squared) const {
    at::Tensor parts = at::zeros({experts, batch}, a.options().dtype(at::kDouble));
    const kernels::Segments segments = {experts * batch, longest, starts.const_data_ptr<int64_t>()};
    const VectorView<double> out = {parts.mutable_data_ptr<double>(), parts.numel()};
    const bool direct = longest * (a.size(1) + g.size(1)) > 2 * a.size(1) * g.size(1);
    if (direct)
      kernels::accumulate_ragged_direct_norms(exec, rows(a, 0, a.size(0)), rows(g, 0, g.size(0)), segments, false, out);
    else
      kernels::accumulate_ragged_ghost_norms(exec, rows(a, 0, a.size(0)), rows(g, 0, g.size(0)), segments, false, out);
    at::Tensor total = at::from_blob(squared.data, {squared.size}, parts.options());
    const double unit = kernels::kDoubleUnit;  // of experts + 1 additions of what is not negative
    total.add_(parts.sum(0)).mul_(1 + 2 * static_cast<double>(experts + 8) * unit);
  }

  // sum[e] += Σ_i factors[i] · (gradient of sample i for expert e), from the rows that were measured.
  void add_clipped(VectorView<const float> factors, VectorView<float> sum) const {
    const int64_t p = g.size(1), d = a.size(1);
    for (int64_t e = 0; e < experts; ++e) {
      const int64_t begin = start(e * batch), own = start((e + 1) * batch) - begin;
      if (own == 0) continue;
      const at::Tensor table = starts.narrow(0, e * batch, batch + 1) - begin;
      kernels::accumulate_ragged_clipped_outer(exec, rows(g, begin, own), rows(a, begin, own), factors,
                                               {batch, longest, table.const_data_ptr<int64_t>()},
                                               {sum.data + e * p * d, p, d}, {nullptr, 0});
    }
  }

  // Multiplications and additions of add_norms.
  double norm_flops() const {
    double flops = 0;
    for (int64_t k = 0; k < experts * batch; ++k) {
      const auto own = static_cast<double>(start(k + 1) - start(k));
      flops += own * (own + 1) * static_cast<double>(a.size(1) + g.size(1));
    }
    return flops;
  }
};

void take_weight(const RoutedUse& use, const at::Tensor& expert, const at::Tensor& activation,
                 const at::Tensor& gradient) {
  Tape::Recorder& recorder = *use.recorder;
  const int64_t batch = recorder.batch, experts = use.weight.size(0);
  const at::Tensor sample = at::arange(batch, expert.options()).unsqueeze(1);
  const at::Tensor segment = at::where(expert.lt(0), expert, expert * batch + sample);
  const RowsByGroup by_segment = rows_by_group(segment, experts * batch);
  auto routed = std::make_shared<Routed>(
      Routed{recorder.exec, batch, experts, 1, activation.index_select(0, by_segment.order),
             gradient.index_select(0, by_segment.order), by_segment.starts, by_segment.starts.cpu()});
  for (int64_t k = 0; k < experts * batch; ++k)
    routed->longest = std::max(routed->longest, routed->start(k + 1) - routed->start(k));
  RecomputedUse made = {.rows = [routed](int64_t first, int64_t count) { return routed->gradients(first, count); }};
  made.without_rows = {.rule = "routed",
                       .add_norms = [routed](VectorView<double> squared) { routed->add_norms(squared); },
                       .add_clipped = [routed](VectorView<const float> factors,
                                               VectorView<float> sum) { routed->add_clipped(factors, sum); },
                       .norm_flops = routed->norm_flops(),
                       .kept_bytes = static_cast<double>(routed->a.nbytes() + routed->g.nbytes())};
  recorder.samples(use.weight_index).recomputed.push_back(std::move(made));
}

// A bias is a table whose rows the experts are. A dropped row has a gradient of 0 for any of them.
void take_bias(const RoutedUse& use, const at::Tensor& expert, const at::Tensor& gradient) {
  const at::Tensor dropped = expert.lt(0).view({-1, 1});
  use.recorder->samples(use.bias_index)
      .indexed.push_back({expert.clamp_min(0), gradient.masked_fill(dropped, 0.0), -1});
}

at::Tensor product(const Tape::Recorder& recorder, const at::Tensor& input, const at::Tensor& expert,
                   const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  return recorder.comparing ? routed_linear_by_all(input, expert, weight, bias)
                            : routed_linear(input, expert, weight, bias);
}

struct RoutedFunction : torch::autograd::Function<RoutedFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input, const at::Tensor&,
                            std::shared_ptr<RoutedUse> use) {
    carry(context, use);
    context->save_for_backward({input});
    return product(*use->recorder, input, use->expert, use->weight, use->bias);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    const CaptureOff off(kCaptureKey);
    const RoutedUse& use = carried<RoutedUse>(context);
    const Tape::Recorder& recorder = *use.recorder;
    const auto by_sample = [&](const at::Tensor& x) {
      return recorder.by_sample(x, use.layout).reshape({-1, x.size(-1)}).contiguous();
    };
    const at::Tensor expert = recorder.by_sample(use.expert, use.layout).reshape({recorder.batch, -1}).contiguous(),
                     gradient = by_sample(outputs[0]);
    if (use.weight_index >= 0)
      take_weight(use, expert, by_sample(context->get_saved_variables()[0].detach()), gradient);
    if (use.bias_index >= 0) take_bias(use, expert, gradient);
    at::Tensor input_gradient;
    if (context->needs_input_grad(0))
      input_gradient = product(recorder, outputs[0].contiguous(), use.expert, use.weight.detach().transpose(1, 2), {});
    return {input_gradient, at::Tensor(), at::Tensor()};
  }
};

at::Tensor captured_routed_linear(const at::Tensor& rows, const at::Tensor& expert, const at::Tensor& weight,
                                  const std::optional<at::Tensor>& bias) {
  const CaptureOff off(kCaptureKey);
  const AutocastOff in_floats;
  const at::Tensor input = in_float(rows);
  const RecorderPointer recorder = current_recorder();
  const at::Tensor shift = bias.value_or(at::Tensor());
  const int64_t weight_index = recorder ? recorder->find(weight) : -1,
                bias_index = recorder ? recorder->find(shift) : -1;
  // What is trained but no parameter itself (a view of one, a cast): the coverage walk names its parameter.
  const bool other =
      (weight_index < 0 && weight.requires_grad()) || (bias_index < 0 && shift.defined() && shift.requires_grad());
  if ((weight_index < 0 && bias_index < 0) || other)
    return recorder ? product(*recorder, input, expert, weight, bias) : routed_linear(input, expert, weight, bias);
  BatchLayout layout;
  for (const int64_t index : {weight_index, bias_index})
    if (index >= 0) layout = recorder->record_use(index, "routed_linear", input);
  return RoutedFunction::apply(input, recorder->anchor,
                               std::make_shared<RoutedUse>(RoutedUse{recorder, expert.detach(), weight, shift,
                                                                     weight_index, bias_index, layout}));
}

}  // namespace

void register_routed_linear_rule(torch::Library& library) {
  library.impl("routed_linear", &captured_routed_linear);
}

}  // namespace sotto
