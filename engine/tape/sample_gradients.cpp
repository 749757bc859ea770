#include "engine/tape/sample_gradients.h"

#include "kernels/recurrent/recurrent.h"

namespace sotto {

at::Tensor sample_gradients(const Exec& exec, const at::Tensor& a, const at::Tensor& g, int64_t batch) {
  const int64_t length = a.size(0) / batch, p = g.size(1), d = a.size(1);
  if (exec.on_cuda())
    return at::bmm(g.view({batch, length, p}).transpose(1, 2), a.view({batch, length, d})).view({batch, p * d});
  at::Tensor rows = at::empty({batch, p * d}, a.options());
  kernels::sample_gradients(exec, {a.const_data_ptr<float>(), a.size(0), d}, {g.const_data_ptr<float>(), g.size(0), p},
                            length, {rows.mutable_data_ptr<float>(), batch, p * d});
  return rows;
}

}  // namespace sotto
