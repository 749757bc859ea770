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
  const BatchLayout layout = recorder->record_use(index, "embedding", ids);
  return EmbeddingFunction::apply(
      recorder->anchor,
      std::make_shared<EmbeddingUse>(EmbeddingUse{recorder, table, ids, index, padding_index.expect_int(), layout}));
}

}  // namespace

void register_embedding_rule(torch::Library& library) {
  library.impl("embedding", &captured_embedding);
}

}  // namespace sotto
