#include "engine/tape/product.h"

#include "base/error.h"
#include "kernels/sample_gradients/sample_gradients.h"

namespace sotto {
namespace {

// [batch, p·d] in `type`, for the price of the batch's weight gradient. The same factors give the same bits, whatever
// their batch: recomputed rows rely on it.
at::Tensor sample_gradients(const Exec& exec, const at::Tensor& activation, const at::Tensor& gradient, int64_t batch,
                            at::ScalarType type = at::kFloat) {
  const at::Tensor a = activation.to(at::kFloat), g = gradient.to(at::kFloat);
  const int64_t length = a.size(0) / batch, p = g.size(1), d = a.size(1);
  at::Tensor rows = at::empty({batch, p * d}, a.options().dtype(type));
  const auto make = [&](auto* row) {
    kernels::sample_gradients(exec, {a.const_data_ptr<float>(), a.size(0), d},
                              {g.const_data_ptr<float>(), g.size(0), p}, length, MatrixView{row, batch, p * d});
  };
  if (type == at::kBFloat16)
    make(static_cast<kernels::Bfloat16*>(rows.mutable_data_ptr()));
  else
    make(rows.mutable_data_ptr<float>());
  return rows;
}

// The same by the library of the device, whose bits may change with the batch: for rows that are made once. Factors in
// bfloat16 are added in floats and, for rows of their own type, rounded once.
at::Tensor batched_product(const at::Tensor& a, const at::Tensor& g, int64_t batch, at::ScalarType type = at::kFloat) {
  const int64_t length = a.size(0) / batch, p = g.size(1), d = a.size(1);
  const at::Tensor left = g.view({batch, length, p}).transpose(1, 2), right = a.view({batch, length, d});
  return (a.scalar_type() == type ? at::bmm(left, right) : at::bmm(left, right, type)).view({batch, p * d});
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
      recorder.store(weight, recorder.exec.on_cuda()
                                 ? batched_product(activation, gradient, recorder.batch)
                                 : sample_gradients(recorder.exec, activation, gradient, recorder.batch));
      return;
    case NormMethod::stored_bf16:
      recorder.store(weight,
                     gradient.scalar_type() == at::kBFloat16
                         ? batched_product(activation, gradient, recorder.batch, at::kBFloat16)
                         : sample_gradients(recorder.exec, activation, gradient, recorder.batch, at::kBFloat16));
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
