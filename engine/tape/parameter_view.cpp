#include "engine/tape/parameter_view.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace sotto {
namespace {

// Whether each element of the parameter occurs once at most: sorted by stride, no dimension reaches into the next.
bool overlaps_itself(const ParameterView& view) {
  std::vector<size_t> order(view.sizes.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](size_t k) { return view.strides[k]; });
  int64_t reach = 0;
  for (const size_t k : order) {
    if (view.sizes[k] == 1) continue;
    if (view.strides[k] <= reach) return true;
    reach += (view.sizes[k] - 1) * view.strides[k];
  }
  return false;
}

bool whole(const ParameterView& view, int64_t elements) {
  int64_t expected = 1;
  for (size_t k = view.sizes.size(); k-- > 0;) {
    if (view.sizes[k] != 1 && view.strides[k] != expected) return false;
    expected *= view.sizes[k];
  }
  return expected == elements;
}

// The parameter, or the gathered rows, that `tensor` is, without its sizes.
ParameterView find_whole(const Tape::Recorder& recorder, const at::Tensor& tensor) {
  ParameterView view;
  view.parameter = recorder.find(tensor);
  for (size_t k = 0; k < recorder.shared_rows.size() && view.parameter < 0; ++k)
    if (const SharedRows& shared = recorder.shared_rows[k];
        shared.rows.is_same(tensor) && tensor._version() == shared.version) {
      view.parameter = shared.table;
      view.gathered = static_cast<int64_t>(k);
    }
  return view;
}

struct ExpansionUse {
  RecorderPointer recorder;
  ParameterView view;
  at::Tensor value;
  std::vector<int64_t> sizes;
  BatchLayout layout;
};

// The view's sizes at each of the expansion's dimensions, 1 where it is expanded.
std::vector<int64_t> aligned(const ParameterView& view, size_t dimensions) {
  std::vector<int64_t> sizes(dimensions - view.sizes.size(), 1);
  sizes.insert(sizes.end(), view.sizes.begin(), view.sizes.end());
  return sizes;
}

// Gathered rows add up to rows of their table: as an embedding's of every sample, or, of more ids than the table has
// rows (buckets of distances), as what they come to, which is less.
void keep_gathered(Tape::Recorder& recorder, const ParameterView& view, const at::Tensor& gradient) {
  const SharedRows& shared = recorder.shared_rows[static_cast<size_t>(view.gathered)];
  const int64_t batch = recorder.batch, count = shared.ids.numel(), d = shared.rows.size(-1),
                table_rows = recorder.parameters.tensor(view.parameter).size(0);
  const at::Tensor rows = rows_of_view(view, count * d, gradient);
  if (count <= table_rows) {
    const at::Tensor ids = shared.ids.unsqueeze(0).expand({batch, count}).contiguous();
    return recorder.samples(view.parameter)
        .indexed.push_back({ids, rows.view({batch * count, d}), shared.padding_index});
  }
  at::Tensor by_id = rows.view({batch, count, d});
  if (shared.padding_index >= 0)  // 0 · NaN would poison the padding row
    by_id = by_id.masked_fill(shared.ids.eq(shared.padding_index).unsqueeze(1), 0.0);
  const at::Tensor sums = at::zeros({batch, table_rows, d}, by_id.options());
  // In one order on both: CUDA's index_add_ adds in any, and the CPU's accumulating index_put_ does.
  if (by_id.is_cuda())
    sums.index_put_({std::nullopt, shared.ids}, by_id, true);
  else
    sums.index_add_(1, shared.ids, by_id);
  recorder.store(view.parameter, sums.view({batch, table_rows * d}));
}

void keep(const ExpansionUse& use, const at::Tensor& gradient) {
  Tape::Recorder& recorder = *use.recorder;
  const ParameterView& view = use.view;
  if (view.gathered >= 0) return keep_gathered(recorder, view, gradient);
  const int64_t elements = recorder.parameters.tensor(view.parameter).numel();
  const int64_t bytes = recorder.batch * elements * static_cast<int64_t>(sizeof(float));
  if (whole(view, elements) || bytes <= recorder.storage_left) {
    if (!whole(view, elements)) recorder.storage_left -= bytes;
    return recorder.store(view.parameter, rows_of_view(view, elements, gradient));
  }
  recorder.samples(view.parameter).recomputed.push_back({[view, elements, gradient](int64_t first, int64_t count) {
    return rows_of_view(view, elements, gradient.narrow(0, first, count));
  }});
}

struct ExpandFunction : torch::autograd::Function<ExpandFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor&,
                            std::shared_ptr<ExpansionUse> use) {
    carry(context, use);
    return use->value.expand(use->sizes);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    const CaptureOff off(kCaptureKey);
    const ExpansionUse& use = carried<ExpansionUse>(context);
    at::Tensor gradient = use.recorder->by_sample(outputs[0], use.layout);
    std::vector<int64_t> sizes = aligned(use.view, use.sizes.size());
    if (!use.layout.merged) sizes.erase(sizes.begin() + use.layout.dimension);
    std::vector<int64_t> summed;
    for (size_t k = 0; k < sizes.size(); ++k)
      if (sizes[k] == 1 && gradient.size(static_cast<int64_t>(k) + 1) != 1)
        summed.push_back(static_cast<int64_t>(k) + 1);
    if (!summed.empty()) gradient = gradient.sum(summed, true, at::kFloat);
    sizes = use.view.sizes;
    sizes.insert(sizes.begin(), use.recorder->batch);
    keep(use, gradient.reshape(sizes));
    return {at::Tensor(), at::Tensor()};
  }
};

}  // namespace

ParameterView find_view(const Tape::Recorder& recorder, const at::Tensor& tensor) {
  if (!tensor.defined() || !tensor.requires_grad()) return {};
  ParameterView view = find_whole(recorder, tensor);
  if (view.parameter < 0) {
    if (!tensor.is_view() || tensor.is_neg() || tensor.is_conj()) return {};
    const at::Tensor base(tensor._base());
    view = find_whole(recorder, base);
    if (view.parameter < 0 || tensor.scalar_type() != base.scalar_type()) return {};
    view.offset = tensor.storage_offset() - base.storage_offset();
  }
  view.sizes = tensor.sizes().vec();
  view.strides = tensor.strides().vec();
  for (size_t k = 0; k < view.sizes.size(); ++k)
    if (view.strides[k] == 0) view.sizes[k] = 1;
  return overlaps_itself(view) ? ParameterView{} : view;
}

at::Tensor rows_of_view(const ParameterView& view, int64_t elements, const at::Tensor& gradient) {
  const int64_t count = gradient.size(0);
  if (whole(view, elements)) return gradient.reshape({count, elements}).to(at::kFloat).contiguous();
  std::vector<int64_t> sizes = view.sizes, strides = view.strides;
  sizes.insert(sizes.begin(), count);
  strides.insert(strides.begin(), elements);
  at::Tensor rows = at::zeros({count, elements}, gradient.options().dtype(at::kFloat));
  rows.as_strided(sizes, strides, view.offset).copy_(gradient);
  return rows;
}

at::Tensor expand_to_samples(const RecorderPointer& recorder, const ParameterView& view, const at::Tensor& tensor,
                             at::IntArrayRef sizes, const BatchLayout& layout, at::ScalarType type) {
  const int64_t own = aligned(view, sizes.size())[static_cast<size_t>(layout.dimension)];
  if (own != 1 && !recorder->observing)
    recorder->refuse(cat("parameter ", recorder->parameters.name(view.parameter), ": shaped ", tensor.sizes(),
                         " it has a row for each of the batch's ", sizes[static_cast<size_t>(layout.dimension)],
                         " rows, so its gradient belongs to places in the batch instead of samples; share it between "
                         "the samples, or freeze it with requires_grad_(false)"));
  return ExpandFunction::apply(recorder->anchor, std::make_shared<ExpansionUse>(ExpansionUse{
                                                     recorder, view, tensor.detach().to(type), sizes.vec(), layout}));
}

bool repeats(const ParameterView& view, at::IntArrayRef sizes, int64_t batch) {
  const std::vector<int64_t> own = aligned(view, sizes.size());
  for (size_t k = 0; k < own.size(); ++k)
    if (own[k] == 1 && (sizes[k] > 1 || batch == 1)) return true;
  return false;
}

RecorderPointer recorder_of_forward() {
  const bool inside = c10::impl::tls_is_dispatch_key_excluded(c10::DispatchKey::AutogradFunctionality) ||
                      c10::impl::tls_is_dispatch_key_excluded(c10::DispatchKey::AutogradCPU);
  return inside || !at::GradMode::is_enabled() ? nullptr : current_recorder();
}

}  // namespace sotto
