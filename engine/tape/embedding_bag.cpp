#include "base/error.h"
#include "engine/tape/recorder.h"

namespace sotto {
namespace {

enum Mode : int64_t { kSum = 0, kMean = 1, kMax = 2 };  // ATen's numbers

struct BagUse {
  RecorderPointer recorder;
  at::Tensor table;
  int64_t table_index, mode, padding_index;  // -1: no padding
  BatchLayout layout;
  at::Tensor indices, offsets;  // as passed
  bool include_last_offset;
  at::Tensor places, ids, present;  // [bags, length]: a bag's positions in `indices`, its ids, and where it has any
  at::Tensor largest = {};          // of a maximum: [bags, d], whose row each column comes from
};

// Bags as the rows of a matrix as wide as the longest: what is past a bag's end is absent.
void lay_out_bags(BagUse& use) {
  const int64_t bags = use.offsets.numel() - (use.include_last_offset ? 1 : 0), total = use.indices.numel();
  const at::Tensor first = use.offsets.to(at::kLong).narrow(0, 0, bags);
  at::Tensor end = at::full({bags}, total, first.options());
  if (use.include_last_offset)
    end = use.offsets.to(at::kLong).narrow(0, 1, bags);
  else if (bags > 1)
    end.narrow(0, 0, bags - 1).copy_(first.narrow(0, 1, bags - 1));
  const at::Tensor lengths = end - first;
  const int64_t length = bags > 0 ? std::max<int64_t>(lengths.max().item<int64_t>(), 1) : 1;
  const at::Tensor t = at::arange(length, first.options()).unsqueeze(0);
  use.present = t.lt(lengths.unsqueeze(1));
  use.places = (first.unsqueeze(1) + t).masked_fill(use.present.logical_not(), 0);
  use.ids = total > 0 ? use.indices.to(at::kLong).index({use.places}) : at::zeros_like(use.places);
  if (use.padding_index >= 0) use.present = use.present.logical_and(use.ids.ne(use.padding_index));
  use.ids = use.ids.masked_fill(use.present.logical_not(), 0);
}

struct BagFunction : torch::autograd::Function<BagFunction> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context,
                                                const std::optional<at::Tensor>& weights, const at::Tensor&,
                                                std::shared_ptr<BagUse> use) {
    carry(context, use);
    if (weights) context->save_for_backward({*weights});
    auto [output, bag_of, sizes, largest] =
        at::_embedding_bag(use->table, use->indices, use->offsets, false, use->mode, false, weights,
                           use->include_last_offset, use->padding_index);
    if (use->mode == kMax) use->largest = largest.to(at::kLong);
    context->mark_non_differentiable({bag_of, sizes, largest});
    return {output, bag_of, sizes, largest};
  }

  // A column of a maximum belongs to one entry of the table: entries are the words, of one column each.
  static void take_maximum(const BagUse& use, const at::Tensor& gradient) {
    Tape::Recorder& recorder = *use.recorder;
    const int64_t d = gradient.size(1);
    const at::Tensor empty = use.present.any(1, true).logical_not();
    const at::Tensor entries = (use.largest * d + at::arange(d, use.largest.options())).masked_fill(empty, 0);
    const auto by_sample = [&](const at::Tensor& x) {
      return recorder.by_sample(x, use.layout).reshape({recorder.batch, -1}).contiguous();
    };
    recorder.samples(use.table_index)
        .indexed.push_back(
            {by_sample(entries), by_sample(gradient.masked_fill(empty, 0.0).to(at::kFloat)).view({-1, 1}), -1});
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    const CaptureOff off(kCaptureKey);
    const BagUse& use = carried<BagUse>(context);
    Tape::Recorder& recorder = *use.recorder;
    const auto saved = context->get_saved_variables();
    const int64_t d = outputs[0].size(1);
    if (use.mode == kMax) {
      take_maximum(use, outputs[0]);
      return {at::Tensor(), at::Tensor(), at::Tensor()};
    }
    // Absent rows are 0 and not a multiple of the gradient: 0 · NaN would poison word 0.
    at::Tensor rows = outputs[0].unsqueeze(1).masked_fill(use.present.logical_not().unsqueeze(2), 0.0);
    if (use.mode == kMean) rows = rows / use.present.sum(1).clamp_min(1).view({-1, 1, 1});
    if (!saved.empty()) rows = rows * saved[0].detach().index({use.places}).unsqueeze(2);
    rows = rows.masked_fill(use.present.logical_not().unsqueeze(2), 0.0);
    recorder.samples(use.table_index)
        .indexed.push_back({recorder.by_sample(use.ids, use.layout).reshape({recorder.batch, -1}).contiguous(),
                            recorder.by_sample(rows, use.layout).reshape({-1, d}).to(at::kFloat).contiguous(), -1});
    at::Tensor weights_gradient;
    if (!saved.empty() && context->needs_input_grad(0)) {
      const at::Tensor of_place = (use.table.detach().index({use.ids}) * outputs[0].unsqueeze(1)).sum(2);
      weights_gradient = at::zeros_like(saved[0]);
      weights_gradient.index_put_({use.places.masked_select(use.present)}, of_place.masked_select(use.present));
    }
    return {weights_gradient, at::Tensor(), at::Tensor()};
  }
};

using BagResult = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

// Sums, means and maxima of the rows of a table, one bag of ids a row of the output.
std::optional<BagResult> bag_rule(const at::Tensor& table, const at::Tensor& indices, const at::Tensor& offsets,
                                  bool scale_grad_by_freq, int64_t mode, const std::optional<at::Tensor>& weights,
                                  bool include_last_offset, int64_t padding_index) {
  const RecorderPointer recorder = current_recorder();
  const int64_t index = recorder ? recorder->find(table) : -1;
  if (index < 0 || indices.dim() != 1 || offsets.dim() != 1) return std::nullopt;
  if (scale_grad_by_freq)
    recorder->refuse(cat("parameter ", recorder->parameters.name(index),
                         ": scale_grad_by_freq divides by counts over the whole batch, so samples would influence each "
                         "other; turn it off"));
  BagUse use = {recorder, table, index, mode, padding_index, {}, indices, offsets, include_last_offset, {}, {}, {}, {}};
  lay_out_bags(use);
  // The last dimension is an id's own, so that the rows of a sample are counted right.
  use.layout = recorder->record_use(index, "embedding_bag", use.ids.unsqueeze(2));
  if (use.layout.dimension != 0 && !recorder->observing)
    recorder->refuse(cat("parameter ", recorder->parameters.name(index),
                         ": its embedding_bag has the batch inside the bags; make each bag of one sample's ids"));
  std::optional<at::Tensor> in_floats;
  if (weights && weights->defined()) in_floats = in_float(*weights);
  const auto result = BagFunction::apply(in_floats, recorder->anchor, std::make_shared<BagUse>(std::move(use)));
  return BagResult{result[0], result[1], result[2], result[3]};
}

BagResult captured_bag(const at::Tensor& table, const at::Tensor& indices, const at::Tensor& offsets,
                       bool scale_grad_by_freq, int64_t mode, bool sparse, const std::optional<at::Tensor>& weights,
                       bool include_last_offset) {
  const CaptureOff off(kCaptureKey);
  if (const auto result = bag_rule(table, indices, offsets, scale_grad_by_freq, mode, weights, include_last_offset, -1))
    return *result;
  return at::embedding_bag(table, indices, offsets, scale_grad_by_freq, mode, sparse, weights, include_last_offset);
}

BagResult captured_padded_bag(const at::Tensor& table, const at::Tensor& indices, const at::Tensor& offsets,
                              bool scale_grad_by_freq, int64_t mode, bool sparse,
                              const std::optional<at::Tensor>& weights, bool include_last_offset,
                              std::optional<int64_t> padding_index) {
  const CaptureOff off(kCaptureKey);
  int64_t padding = padding_index.value_or(-1);
  if (padding_index.has_value() && padding < 0) padding += table.size(0);
  if (const auto result =
          bag_rule(table, indices, offsets, scale_grad_by_freq, mode, weights, include_last_offset, padding))
    return *result;
  return at::embedding_bag(table, indices, offsets, scale_grad_by_freq, mode, sparse, weights, include_last_offset,
                           padding_index);
}

BagResult captured_inner_bag(const at::Tensor& table, const at::Tensor& indices, const at::Tensor& offsets,
                             bool scale_grad_by_freq, int64_t mode, bool sparse,
                             const std::optional<at::Tensor>& weights, bool include_last_offset,
                             int64_t padding_index) {
  const CaptureOff off(kCaptureKey);
  if (const auto result =
          bag_rule(table, indices, offsets, scale_grad_by_freq, mode, weights, include_last_offset, padding_index))
    return *result;
  return at::_embedding_bag(table, indices, offsets, scale_grad_by_freq, mode, sparse, weights, include_last_offset,
                            padding_index);
}

}  // namespace

void register_embedding_bag_rule(torch::Library& library) {
  library.impl("embedding_bag", &captured_bag);
  library.impl("embedding_bag.padding_idx", &captured_padded_bag);
  library.impl("_embedding_bag", &captured_inner_bag);
}

}  // namespace sotto
