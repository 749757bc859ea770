#include "engine/tape/embedding.h"
#include "base/error.h"
#include "engine/tape/recorder.h"

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

// The rows of the table that shared ids name, as a view of it, in the shape of the embedding's output. A padding row
// among them gets no gradient, for which no rule is: the ordinary operator, which the coverage walk finds.
at::Tensor shared_rows(Tape::Recorder& recorder, int64_t index, const at::Tensor& table, const at::Tensor& ids,
                       int64_t padding_index) {
  const int64_t first = first_of_run(ids);
  if (first < 0 || first + ids.numel() > table.size(0))
    recorder.refuse(cat("parameter ", recorder.parameters.name(index),
                        ": the ids of its embedding, which all samples share, are no longer a run of consecutive rows, "
                        "as they were when the model was checked"));
  if (first <= padding_index && padding_index < first + ids.numel()) return at::embedding(table, ids, padding_index);
  std::vector<int64_t> sizes = ids.sizes().vec();
  sizes.push_back(table.size(1));
  return table.narrow(0, first, ids.numel()).view(sizes);
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
  if (recorder->shared_embeddings.contains(recorder->embeddings++))
    return shared_rows(*recorder, index, table, ids, padding_index.expect_int());
  const BatchLayout layout = recorder->record_use(index, "embedding", ids);
  return EmbeddingFunction::apply(
      recorder->anchor,
      std::make_shared<EmbeddingUse>(EmbeddingUse{recorder, table, ids, index, padding_index.expect_int(), layout}));
}

}  // namespace

int64_t first_of_run(const at::Tensor& ids) {
  if (ids.numel() == 0) return -1;
  const at::Tensor flat = ids.reshape({-1}).to(at::kCPU, at::kLong);
  const int64_t first = flat[0].item<int64_t>();
  return first >= 0 && flat.equal(at::arange(first, first + flat.numel())) ? first : -1;
}

void register_embedding_rule(torch::Library& library) {
  library.impl("embedding", &captured_embedding);
}

}  // namespace sotto
