#pragma once
#include "engine/tape/recorder.h"

namespace sotto {

// A parameter as an operator gets it: whole, or through views of it (a slice, a transpose, an unsqueeze); or rows that
// shared ids gathered from it.
struct ParameterView {
  int64_t parameter = -1;               // -1: none that a rule may take
  std::vector<int64_t> sizes, strides;  // an expanded dimension has size 1
  int64_t offset = 0;                   // of the first element in the parameter, or in the gathered rows
  int64_t gathered = -1;                // which of Recorder::shared_rows; -1: the parameter's own memory
};

// The parameter behind `tensor`, if it is one, rows gathered from one, or a view of either in which no element occurs
// twice.
ParameterView find_view(const Tape::Recorder& recorder, const at::Tensor& tensor);

// Per-sample gradients of a view, [count, sizes…], as gradients of its parameter or of the gathered rows, [count,
// elements]: 0 elsewhere.
at::Tensor rows_of_view(const ParameterView& view, int64_t elements, const at::Tensor& gradient);

// `tensor`, a view as find_view gave it, in `sizes`, as expand does it, with the batch where `layout` says: the
// gradient of the result is the per-sample gradient, and is kept as such. Everything else that the operator does with
// it is left to autograd. The result is in `type`; gradients are kept in floats.
at::Tensor expand_to_samples(const RecorderPointer& recorder, const ParameterView& view, const at::Tensor& tensor,
                             at::IntArrayRef sizes, const BatchLayout& layout, at::ScalarType type = at::kFloat);

// Whether expanding a view to `sizes` repeats it anywhere; a single sample repeats nothing and counts as repeated.
bool repeats(const ParameterView& view, at::IntArrayRef sizes, int64_t batch);

// The recorder, unless this call is part of an operator that autograd has taken already, or makes no gradient.
RecorderPointer recorder_of_forward();

}  // namespace sotto
