#include "base/error.h"
#include "engine/tape/recorder.h"

namespace sotto {
namespace {

// What such an operator returns has as many rows as the values say: whose they are is not to be seen in them.
void note_shape_from_values(const char* operation) {
  const RecorderPointer recorder = current_recorder();
  if (!recorder || recorder->in_backward) return;  // derivatives look for zeros
  recorder->shapes_from_values = true;
  if (!recorder->observing && recorder->uncaptured.empty())
    recorder->refuse(cat("the model makes a shape from values (", operation,
                         "), which it did not when it was checked, so that its rows cannot be told apart by sample"));
}

at::Tensor noted_nonzero(const at::Tensor& x) {
  note_shape_from_values("nonzero");
  const CaptureOff off(kCaptureKey);
  return at::nonzero(x);
}

at::Tensor noted_masked_select(const at::Tensor& x, const at::Tensor& mask) {
  note_shape_from_values("masked_select");
  const CaptureOff off(kCaptureKey);
  return at::masked_select(x, mask);
}

at::Tensor noted_repeat_interleave(const at::Tensor& repeats, std::optional<c10::SymInt> output_size) {
  note_shape_from_values("repeat_interleave");
  const CaptureOff off(kCaptureKey);
  return at::repeat_interleave_symint(repeats, output_size);
}

using Three = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

Three noted_unique(const at::Tensor& x, bool sorted, bool inverse, bool counts) {
  note_shape_from_values("unique");
  const CaptureOff off(kCaptureKey);
  return at::_unique2(x, sorted, inverse, counts);
}

Three noted_unique_dim(const at::Tensor& x, int64_t dim, bool sorted, bool inverse, bool counts) {
  note_shape_from_values("unique");
  const CaptureOff off(kCaptureKey);
  return at::unique_dim(x, dim, sorted, inverse, counts);
}

Three noted_unique_consecutive(const at::Tensor& x, bool inverse, bool counts, std::optional<int64_t> dim) {
  note_shape_from_values("unique_consecutive");
  const CaptureOff off(kCaptureKey);
  return at::unique_consecutive(x, inverse, counts, dim);
}

}  // namespace

// Masks as indices and argwhere reach nonzero.
void register_value_shapes(torch::Library& library) {
  library.impl("nonzero", &noted_nonzero);
  library.impl("masked_select", &noted_masked_select);
  library.impl("repeat_interleave.Tensor", &noted_repeat_interleave);
  library.impl("_unique2", &noted_unique);
  library.impl("unique_dim", &noted_unique_dim);
  library.impl("unique_consecutive", &noted_unique_consecutive);
}

}  // namespace sotto
