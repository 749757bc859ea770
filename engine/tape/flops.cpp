#include "engine/tape/flops.h"

#include <ATen/record_function.h>

#include "engine/torch.h"

namespace sotto {
namespace {

struct Counter {
  double flops = 0;
  int inside = 0;  // operators that are counted whole and not over yet
};
thread_local Counter* g_counter = nullptr;

// Of one call, from its beginning to its end.
struct Call : at::ObserverContext {
  bool whole = false;    // what it calls is not counted again
  double an_output = 0;  // multiplications and additions for each entry of its output, known at its end
  double times = 1;      // once, and once for each gradient
};

double product(at::IntArrayRef shape) {
  double n = 1;
  for (const int64_t length : shape) n *= static_cast<double>(length);
  return n;
}

using Inputs = c10::ArrayRef<const c10::IValue>;

bool are_tensors(Inputs inputs, size_t count) {
  if (inputs.size() < count) return false;
  for (size_t i = 0; i < count; ++i)
    if (!inputs[i].isTensor() || !inputs[i].toTensor().defined()) return false;
  return true;
}

at::IntArrayRef shape(Inputs inputs, size_t i) {
  return inputs[i].unsafeToTensorImpl()->sizes();
}

// [… n k] by [… k m].
double matrix_product(at::IntArrayRef a, at::IntArrayRef b) {
  return 2 * product(a) * static_cast<double>(b.back());
}

// 1 and one for each of these inputs that needs a gradient.
double with_gradients(Inputs inputs, std::initializer_list<size_t> factors) {
  double times = 1;
  for (const size_t i : factors) times += inputs[i].toTensor().requires_grad() ? 1 : 0;
  return times;
}

// What the call costs going forward, if it is one that is counted; `call` gets the rest. Operators that call each other
// count once, the outer one.
std::optional<double> cost(const std::string& name, Inputs in, Call& call) {
  if ((name == "aten::mm" || name == "aten::bmm" || name == "aten::mv") && are_tensors(in, 2)) {
    call.times = with_gradients(in, {0, 1});
    return name == "aten::mv" ? 2 * product(shape(in, 0)) : matrix_product(shape(in, 0), shape(in, 1));
  }
  if ((name == "aten::addmm" || name == "aten::baddbmm") && are_tensors(in, 3)) {
    call.times = with_gradients(in, {1, 2});
    return matrix_product(shape(in, 1), shape(in, 2));
  }
  if (name == "aten::mkldnn_rnn_layer" && are_tensors(in, 3)) {  // [T, B, d] by [gates · h, d] and [gates · h, h]
    call.times = with_gradients(in, {0, 1});
    return 2 * product(shape(in, 0).slice(0, 2)) * (product(shape(in, 1)) + product(shape(in, 2)));
  }
  if (name == "aten::convolution" && are_tensors(in, 2) && in.size() > 6) {
    call.times = with_gradients(in, {0, 1});
    const double an_entry = 2 * product(shape(in, 1).slice(1));  // of the output, or of the input where transposed
    if (in[6].toBool()) return an_entry * product(shape(in, 0));
    call.an_output = an_entry;
    return 0.0;
  }
  if (name.starts_with("aten::_scaled_dot_product_") && name != "aten::_scaled_dot_product_attention_math" &&
      are_tensors(in, 3)) {  // [B, H, T, d] by [B, H, S, d], twice; a factor of both is the scores
    call.times = (with_gradients(in, {0, 1}) + with_gradients(in, {2}) + (with_gradients(in, {0, 1}) > 1 ? 1 : 0)) / 2;
    return 4 * product(shape(in, 0)) * static_cast<double>(shape(in, 1)[2]);
  }
  return std::nullopt;
}

std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function) {
  auto call = std::make_unique<Call>();
  if (g_counter && g_counter->inside == 0)
    if (const auto flops = cost(function.name(), function.inputs(), *call)) {
      call->whole = true;
      g_counter->flops += call->times * *flops;
      ++g_counter->inside;
    }
  return call;
}

void end(const at::RecordFunction& function, at::ObserverContext* context) {
  const auto& call = static_cast<const Call&>(*context);
  if (!g_counter || !call.whole) return;
  --g_counter->inside;
  if (call.an_output > 0 && !function.outputs().empty() && function.outputs()[0].isTensor())
    g_counter->flops += call.times * call.an_output * product(function.outputs()[0].toTensor().sizes());
}

}  // namespace

double step_flops(const std::function<void()>& forward) {
  Counter counter;
  const auto handle = at::addThreadLocalCallback(
      at::RecordFunctionCallback(begin, end).needsInputs(true).needsOutputs(true).scopes({at::RecordScope::FUNCTION}));
  g_counter = &counter;
  try {
    forward();
  } catch (...) {
    g_counter = nullptr;
    at::removeCallback(handle);
    throw;
  }
  g_counter = nullptr;
  at::removeCallback(handle);
  return counter.flops;
}

}  // namespace sotto
