#include "engine/tape/parameter_view.h"

namespace sotto {
namespace {

// A parameter that the model itself expands to the batch (a class token); anything else falls through as an undefined
// tensor.
at::Tensor expanded(const char* operation, const at::Tensor& x, at::IntArrayRef sizes) {
  const RecorderPointer recorder = recorder_of_forward();
  const ParameterView view = recorder ? find_view(*recorder, x) : ParameterView{};
  if (view.parameter < 0) return {};
  const at::Tensor output = x.detach().expand(sizes);
  if (!repeats(view, output.sizes(), recorder->batch)) return {};
  const BatchLayout layout = recorder->record_use(view.parameter, operation, output);
  return expand_to_samples(recorder, view, x, output.sizes(), layout);
}

at::Tensor captured_expand(const at::Tensor& x, c10::SymIntArrayRef sizes, bool implicit) {
  const CaptureOff off(kCaptureKey);
  const at::Tensor output = expanded("expand", x, C10_AS_INTARRAYREF_SLOW(sizes));
  return output.defined() ? output : x.expand_symint(sizes, implicit);
}

// Dimension k repeated r times is an expansion of [1, size_k] to [r, size_k].
at::Tensor captured_repeat(const at::Tensor& x, c10::SymIntArrayRef counts) {
  const CaptureOff off(kCaptureKey);
  const at::IntArrayRef times = C10_AS_INTARRAYREF_SLOW(counts);
  std::vector<int64_t> shape, expansion, result;
  for (size_t k = 0; k < times.size(); ++k) {
    const int64_t own = static_cast<int64_t>(k) - static_cast<int64_t>(times.size()) + x.dim();
    const int64_t size = own < 0 ? 1 : x.size(own);
    shape.insert(shape.end(), {1, size});
    expansion.insert(expansion.end(), {times[k], size});
    result.push_back(times[k] * size);
  }
  const bool sized = static_cast<int64_t>(times.size()) >= x.dim() && x.requires_grad();
  const at::Tensor output = sized ? expanded("repeat", x.view(shape), expansion) : at::Tensor();
  return output.defined() ? output.reshape(result) : x.repeat_symint(counts);
}

}  // namespace

void register_expand_rules(torch::Library& library) {
  library.impl("expand", &captured_expand);
  library.impl("repeat", &captured_repeat);
}

}  // namespace sotto
