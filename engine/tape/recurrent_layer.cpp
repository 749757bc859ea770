#include "engine/tape/recurrent_layer.h"

#include "engine/tape/product.h"

namespace sotto {
namespace {

using kernels::Cell;
using Tensors = std::vector<at::Tensor>;

// One for both weights of a layer, whose gates' gradients are a factor of both. A weight that another layer uses too is
// kept as factors: its uses are joined.
NormMethod method_of(const RecurrentUse& use, int64_t length) {
  Tape::Recorder& recorder = *use.recorder;
  ProductShape product = {.length = length, .rows = use.weights.hidden_weight.size(0)};
  for (const auto& [index, weight] :
       {std::pair(use.input_index, use.weights.input_weight), std::pair(use.hidden_index, use.weights.hidden_weight)}) {
    if (index < 0) continue;
    if (recorder.uses[static_cast<size_t>(index)] != 1) return NormMethod::ghost;
    if (product.parameter < 0) product.parameter = index;
    product.columns += weight.size(1);
  }
  return product.parameter < 0 || length == 1 ? NormMethod::ghost : recorder.choose(product);
}

// [sequences, p] to [batch, p]: a sample may bring several sequences.
void take_bias(const RecurrentUse& use, int64_t index, const at::Tensor& sums) {
  const at::Tensor rows = use.rows(sums).view({use.recorder->batch, -1, sums.size(1)});
  use.recorder->store(index, rows.size(1) == 1 ? rows.select(1, 0) : rows.sum(1));
}

// One direction of one layer. Outputs: hidden [N, T, h], the last step's [N, h], and the LSTM's last cell [N, h].
struct RecurrentFunction : torch::autograd::Function<RecurrentFunction> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                                                const at::Tensor& first_hidden, const at::Tensor& first_cell,
                                                const at::Tensor&, std::shared_ptr<RecurrentUse> use) {
    carry(context, use);
    context->set_materialize_grads(false);
    RecurrentTensors& tensors = use->tensors;
    recurrent_forward(use->recorder->exec, use->weights, tensors);
    const at::Tensor hidden = tensors.hidden;
    tensors.hidden = hidden.detach();  // the output itself would hold this node, and the node it
    // For the check that nobody has changed them in place: `tensors` shares their memory.
    context->save_for_backward({x, first_hidden, first_cell, hidden});
    const int64_t last = use->weights.reverse ? 0 : hidden.size(1) - 1;
    Tensors outputs = {hidden, hidden.select(1, last).clone()};
    if (use->weights.cell == Cell::lstm) outputs.push_back(tensors.state.select(1, last).clone());
    return outputs;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    const CaptureOff off(kCaptureKey);
    const std::shared_ptr<RecurrentUse> use = shared(context);
    if (!use->tensors.hidden.defined())
      use->recorder->refuse("the backward pass of a recurrent layer ran twice, and its gates were kept for one");
    context->get_saved_variables();
    RecurrentTensors tensors = std::exchange(use->tensors, {});
    const RecurrentGradients made =
        recurrent_backward(use->recorder->exec, use->weights, tensors, outputs[0], outputs[1],
                           outputs.size() > 2 ? outputs[2] : at::Tensor(), context->needs_input_grad(0));
    if (use->input_bias_index >= 0) take_bias(*use, use->input_bias_index, made.bias);
    if (use->hidden_bias_index >= 0) take_bias(*use, use->hidden_bias_index, made.hidden_bias);
    Tape::Recorder& recorder = *use->recorder;
    const NormMethod method = method_of(*use, tensors.x.size(0) * tensors.x.size(1) / recorder.batch);
    const at::Tensor gates = use->rows(made.gates);
    if (use->input_index >= 0) take_product(recorder, method, use->input_index, use->rows(tensors.x), gates);
    if (use->hidden_index >= 0)
      take_product(recorder, method, use->hidden_index, use->rows(hidden_before(use->weights, tensors)),
                   made.hidden_gates.is_same(made.gates) ? gates : use->rows(made.hidden_gates));
    return {made.x, made.first_hidden, made.first_cell, at::Tensor(), at::Tensor()};
  }

 private:
  static std::shared_ptr<RecurrentUse> shared(torch::autograd::AutogradContext* context) {
    return static_cast<Carried<RecurrentUse>*>(context->saved_data["use"].toCapsule().get())->use;
  }
};

}  // namespace

std::vector<at::Tensor> run_recurrent_layer(const at::Tensor& x, const at::Tensor& first_hidden,
                                            const at::Tensor& first_cell, std::shared_ptr<RecurrentUse> use) {
  use->tensors.x = x.detach().contiguous();
  use->tensors.first_hidden = first_hidden.detach().contiguous();
  if (first_cell.defined()) use->tensors.first_cell = first_cell.detach().contiguous();
  const at::Tensor anchor = use->recorder->anchor;
  // A node's input cannot be undefined: the anchor stands in.
  return RecurrentFunction::apply(x, first_hidden, first_cell.defined() ? first_cell : anchor, anchor, std::move(use));
}

}  // namespace sotto
