#include "engine/tape/product.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/sample_gradients/sample_gradients.h"

namespace sotto {
namespace {

// [batch, p·d], for the price of the batch's weight gradient.
at::Tensor batched_product(const at::Tensor& a, const at::Tensor& g, int64_t batch) {
  const int64_t length = a.size(0) / batch, p = g.size(1), d = a.size(1);
  return at::bmm(g.view({batch, length, p}).transpose(1, 2), a.view({batch, length, d})).view({batch, p * d});
}

at::Tensor sample_gradients(const Exec& exec, const at::Tensor& a, const at::Tensor& g, int64_t batch) {
  const int64_t length = a.size(0) / batch, p = g.size(1), d = a.size(1);
  if (exec.on_cuda()) return batched_product(a, g, batch);
  at::Tensor rows = at::empty({batch, p * d}, a.options());
  kernels::sample_gradients(exec, {a.const_data_ptr<float>(), a.size(0), d}, {g.const_data_ptr<float>(), g.size(0), p},
                            length, {rows.mutable_data_ptr<float>(), batch, p * d});
  return rows;
}

// The same, rounded. A library's product has no such output: its floats are made in blocks of 64 MiB.
at::Tensor rounded_gradients(const Exec& exec, const at::Tensor& a, const at::Tensor& g, int64_t batch) {
  constexpr int64_t kBlockFloats = int64_t{1} << 24;
  const int64_t length = a.size(0) / batch, p = g.size(1), d = a.size(1);
  at::Tensor rows = at::empty({batch, p * d}, a.options().dtype(at::kBFloat16));
  if (!exec.on_cuda()) {
    kernels::sample_gradients(exec, {a.const_data_ptr<float>(), a.size(0), d},
                              {g.const_data_ptr<float>(), g.size(0), p}, length,
                              {reinterpret_cast<kernels::Bfloat16*>(rows.mutable_data_ptr()), batch, p * d});
    return rows;
  }
  const int64_t block = std::max<int64_t>(1, kBlockFloats / std::max<int64_t>(p * d, 1));
  for (int64_t first = 0; first < batch; first += block) {
    const int64_t count = std::min(block, batch - first);
    rows.narrow(0, first, count)
        .copy_(batched_product(a.narrow(0, first * length, count * length), g.narrow(0, first * length, count * length),
                               count));
  }
  return rows;
}

}  // namespace

void take_product(Tape::Recorder& recorder, NormMethod method, int64_t weight, const at::Tensor& activation,
                  const at::Tensor& gradient) {
  const int64_t length = gradient.size(0) / recorder.batch;
  ParameterSamples& samples = recorder.samples(weight);
  switch (method) {
    case NormMethod::ghost:
    case NormMethod::direct:
      samples.factored.push_back(
          {.activation = activation, .gradient = gradient, .length = length, .direct = method == NormMethod::direct});
      return;
    case NormMethod::stored:
      recorder.store(weight, sample_gradients(recorder.exec, activation, gradient, recorder.batch));
      return;
    case NormMethod::stored_bf16:
      recorder.store(weight, rounded_gradients(recorder.exec, activation, gradient, recorder.batch));
      return;
    case NormMethod::box_filter:
      throw Error(ErrorKind::internal, "a box filter is for convolutions");
    case NormMethod::recomputed:
      samples.recomputed.push_back({[exec = recorder.exec, activation, gradient, length](int64_t first, int64_t count) {
        return sample_gradients(exec, activation.narrow(0, first * length, count * length),
                                gradient.narrow(0, first * length, count * length), count);
      }});
      return;
  }
}

}  // namespace sotto
