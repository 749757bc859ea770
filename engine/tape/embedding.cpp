#include <ATen/ops/index_ops.h>

#include "base/error.h"
#include "engine/tape/parameter_view.h"

namespace sotto {
namespace {

struct EmbeddingUse {
  RecorderPointer recorder;
  at::Tensor table, ids;
  int64_t table_index, padding_index;
  BatchLayout layout;
};

struct EmbeddingFunction : torch::autograd::Function<EmbeddingFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor&,
                            std::shared_ptr<EmbeddingUse> use) {
    carry(context, use);
    return at::embedding(use->table, use->ids, use->padding_index);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    const CaptureOff off(kCaptureKey);
    const EmbeddingUse& use = carried<EmbeddingUse>(context);
    Tape::Recorder& recorder = *use.recorder;
    const at::Tensor ids = recorder.by_sample(use.ids, use.layout),
                     gradient = recorder.by_sample(outputs[0], use.layout);
    recorder.samples(use.table_index)
        .indexed.push_back({ids.reshape({recorder.batch, -1}).to(at::kLong).contiguous(),
                            gradient.reshape({-1, gradient.size(-1)}).contiguous(), use.padding_index});
    return {at::Tensor(), at::Tensor()};
  }
};

// The first of ids that are consecutive rows (position ids); -1 for any others.
int64_t first_of_run(const at::Tensor& ids) {
  if (ids.numel() == 0) return -1;
  const int64_t first = ids[0].item<int64_t>();
  return first >= 0 && ids.equal(at::arange(first, first + ids.numel())) ? first : -1;
}

// The rows of the table that shared ids name, in the shape of the embedding's output: of a run of them a view. Others,
// and a run with the padding row in it, are gathered by the ordinary operator, so that a use that no rule takes still
// leads the coverage walk to the table.
at::Tensor shared_rows(Tape::Recorder& recorder, int64_t index, const at::Tensor& table, const at::Tensor& ids,
                       int64_t padding_index, const at::Tensor& checked) {
  const at::Tensor flat = ids.reshape({-1}).to(at::kCPU, at::kLong);
  const int64_t first = first_of_run(flat), end = first + flat.numel();
  if (first >= 0 && end <= table.size(0) && (padding_index < first || end <= padding_index)) {
    std::vector<int64_t> sizes = ids.sizes().vec();
    sizes.push_back(table.size(1));
    return table.narrow(0, first, flat.numel()).view(sizes);
  }
  if (!flat.equal(checked))
    recorder.refuse(cat("parameter ", recorder.parameters.name(index),
                        ": the ids of its embedding, which all samples share, are neither a run of consecutive rows "
                        "nor what they were when the model was checked; keep them in a buffer, or give each sample its "
                        "own (expand them to the batch)"));
  const at::Tensor rows = at::embedding(table, ids, padding_index);
  recorder.shared_rows.push_back({rows, flat.to(table.device()), index, padding_index, rows._version()});
  return rows;
}

at::Tensor captured_embedding(const at::Tensor& table, const at::Tensor& ids, c10::SymInt padding_index,
                              bool scale_grad_by_freq, bool sparse) {
  const CaptureOff off(kCaptureKey);
  const RecorderPointer recorder = current_recorder();
  const int64_t index = recorder ? recorder->find(table) : -1;
  if (index < 0) return at::embedding_symint(table, ids, padding_index, scale_grad_by_freq, sparse);
  if (scale_grad_by_freq)
    recorder->refuse(cat("parameter ", recorder->parameters.name(index),
                         ": scale_grad_by_freq divides by counts over the whole batch, so samples would influence each "
                         "other; turn it off"));
  if (const auto shared = recorder->shared_embeddings.find(recorder->embeddings++);
      shared != recorder->shared_embeddings.end())
    return shared_rows(*recorder, index, table, ids, padding_index.expect_int(), shared->second);
  const BatchLayout layout = recorder->record_use(index, "embedding", ids);
  return EmbeddingFunction::apply(
      recorder->anchor,
      std::make_shared<EmbeddingUse>(EmbeddingUse{recorder, table, ids, index, padding_index.expect_int(), layout}));
}

// table[ids] is an embedding, where ids below 0 count from the end. Anything else goes on with capture on, so that what
// it calls is seen too.
at::Tensor captured_index(c10::DispatchKeySet keys, const at::Tensor& table,
                          const c10::List<std::optional<at::Tensor>>& indices) {
  const RecorderPointer recorder = recorder_of_forward();
  const at::Tensor ids = indices.size() == 1 ? indices.get(0).value_or(at::Tensor()) : at::Tensor();
  const bool by_rows = recorder && recorder->find(table) >= 0 && table.dim() == 2 && ids.defined() &&
                       (ids.scalar_type() == at::kLong || ids.scalar_type() == at::kInt);
  if (!by_rows)
    return at::_ops::index_Tensor::redispatch(keys & c10::DispatchKeySet(c10::DispatchKeySet::FULL_AFTER, kCaptureKey),
                                              table, indices);
  return captured_embedding(table, at::where(ids.lt(0), ids + table.size(0), ids), -1, false, false);
}

}  // namespace

void register_embedding_rule(torch::Library& library) {
  library.impl("embedding", &captured_embedding);
  library.impl("index.Tensor", &captured_index);
}

}  // namespace sotto
