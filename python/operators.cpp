#include "base/random_key.h"
#include "kernels/clip/clip.h"
#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/embedding_norms/embedding_norms.h"
#include "kernels/ghost_norms/ghost_norms.h"
#include "kernels/noise/noise.h"
#include "kernels/outer_norms/outer_norms.h"
#include "kernels/row_norms/row_norms.h"
#include "python/arguments.h"
#include "python/exec.h"

namespace sotto::python {
namespace {

// [B, …] as [B, elements].
at::Tensor by_sample(const char* name, const at::Tensor& tensor, const at::Tensor& beside) {
  require(tensor.dim() >= 1, cat(name, " needs a batch dimension"));
  return checked(name, tensor, at::kFloat, beside).flatten(1).view({tensor.size(0), -1});
}

at::Tensor id_matrix(const at::Tensor& ids, const at::Tensor& beside) {
  require(ids.dim() == 2, cat("ids must be [batch, length], got shape ", ids.sizes()));
  return checked("ids", ids, at::kLong, beside);
}

// [B, …], floats or bfloat16, as [B, elements].
at::Tensor stored_rows(const at::Tensor& x) {
  if (x.scalar_type() != at::kBFloat16) return by_sample("x", x, x);
  require(x.dim() >= 1, cat("x needs a batch dimension"));
  return x.contiguous().flatten(1).view({x.size(0), -1});
}

MatrixView<const kernels::Bfloat16> bfloat16_matrix(const at::Tensor& tensor) {
  return {static_cast<const kernels::Bfloat16*>(tensor.const_data_ptr()), tensor.size(0), tensor.size(1)};
}

int64_t batch_of(const at::Tensor& tensor, int64_t length) {
  require(length >= 1 && tensor.size(0) % length == 0,
          cat("length must divide the rows: ", tensor.size(0), " rows, length ", length));
  return tensor.size(0) / length;
}

at::Tensor row_norms(const at::Tensor& x) {
  const c10::DeviceGuard guard(x.device());
  const at::Tensor flat = stored_rows(x);
  at::Tensor squared = zero_norms(flat.size(0), x);
  if (flat.scalar_type() == at::kBFloat16)
    kernels::accumulate_row_norms(exec_of(x), bfloat16_matrix(flat), doubles(squared));
  else
    kernels::accumulate_row_norms(exec_of(x), matrix<float>(flat), doubles(squared));
  return squared;
}

at::Tensor outer_norms(const at::Tensor& a, const at::Tensor& g, bool bias) {
  const c10::DeviceGuard guard(a.device());
  const at::Tensor a_rows = rows("a", a, a), g_rows = rows("g", g, a);
  at::Tensor squared = zero_norms(a_rows.size(0), a);
  kernels::accumulate_outer_norms(exec_of(a), matrix<float>(a_rows), matrix<float>(g_rows), bias, doubles(squared));
  return squared;
}

template <kernels::SequenceNorms kernel>
at::Tensor sequence_norms(const at::Tensor& a, const at::Tensor& g, int64_t length, bool bias) {
  const c10::DeviceGuard guard(a.device());
  const at::Tensor a_rows = rows("a", a, a), g_rows = rows("g", g, a);
  at::Tensor squared = zero_norms(batch_of(a_rows, length), a);
  kernel(exec_of(a), matrix<float>(a_rows), matrix<float>(g_rows), length, bias, doubles(squared));
  return squared;
}

at::Tensor embedding_norms(const at::Tensor& ids, const at::Tensor& g, int64_t padding) {
  const c10::DeviceGuard guard(g.device());
  const at::Tensor id = id_matrix(ids, g), g_rows = rows("g", g, g);
  at::Tensor squared = zero_norms(id.size(0), g);
  kernels::accumulate_embedding_norms(exec_of(g), matrix<int64_t>(id), matrix<float>(g_rows), padding,
                                      doubles(squared));
  return squared;
}

at::Tensor tied_cross_norms(const at::Tensor& ids, const at::Tensor& g_embedding, const at::Tensor& a_head,
                            const at::Tensor& g_head, int64_t padding) {
  const c10::DeviceGuard guard(g_embedding.device());
  const at::Tensor id = id_matrix(ids, g_embedding), g_rows = rows("g_embedding", g_embedding, g_embedding),
                   a_rows = rows("a_head", a_head, g_embedding), h_rows = rows("g_head", g_head, g_embedding);
  at::Tensor squared = zero_norms(id.size(0), g_embedding);
  kernels::accumulate_tied_cross_norms(exec_of(g_embedding), matrix<int64_t>(id), matrix<float>(g_rows), padding,
                                       matrix<float>(a_rows), matrix<float>(h_rows), doubles(squared));
  return squared;
}

at::Tensor clip_factors(const at::Tensor& squared_norms, double clip_norm) {
  const c10::DeviceGuard guard(squared_norms.device());
  require(squared_norms.dim() == 1, cat("squared_norms must be [batch], got shape ", squared_norms.sizes()));
  const at::Tensor squared = checked("squared_norms", squared_norms, at::kDouble, squared_norms);
  at::Tensor factors = at::empty({squared.numel()}, squared.options().dtype(at::kFloat).requires_grad(false));
  kernels::clip_factors(exec_of(squared), {squared.const_data_ptr<double>(), squared.numel()}, {}, clip_norm,
                        mutable_floats(factors));
  return factors;
}

at::Tensor clipped_rows(const at::Tensor& x, const at::Tensor& factors) {
  const c10::DeviceGuard guard(x.device());
  const at::Tensor flat = stored_rows(x), f = checked("factors", factors, at::kFloat, x);
  at::Tensor sum = at::zeros(x.sizes().slice(1), x.options().dtype(at::kFloat).requires_grad(false));
  if (flat.scalar_type() == at::kBFloat16)
    kernels::accumulate_clipped_rows(exec_of(x), bfloat16_matrix(flat), floats(f), mutable_floats(sum));
  else
    kernels::accumulate_clipped_rows(exec_of(x), matrix<float>(flat), floats(f), mutable_floats(sum));
  return sum;
}

at::Tensor clipped_outer(const at::Tensor& g, const at::Tensor& a, const at::Tensor& factors, int64_t length) {
  const c10::DeviceGuard guard(g.device());
  const at::Tensor g_rows = rows("g", g, g), a_rows = rows("a", a, g), f = checked("factors", factors, at::kFloat, g);
  at::Tensor sum = zeros({g_rows.size(1), a_rows.size(1)}, g);
  kernels::accumulate_clipped_outer(exec_of(g), matrix<float>(g_rows), matrix<float>(a_rows), floats(f), length,
                                    {sum.mutable_data_ptr<float>(), sum.size(0), sum.size(1)}, {nullptr, 0});
  return sum;
}

at::Tensor clipped_embedding(const at::Tensor& ids, const at::Tensor& g, const at::Tensor& factors, int64_t table_rows,
                             int64_t padding) {
  const c10::DeviceGuard guard(g.device());
  require(table_rows >= 0, cat("rows must not be negative, got ", table_rows));
  const at::Tensor id = id_matrix(ids, g), g_rows = rows("g", g, g), f = checked("factors", factors, at::kFloat, g);
  at::Tensor sum = zeros({table_rows, g_rows.size(1)}, g);
  kernels::accumulate_clipped_embedding(exec_of(g), matrix<int64_t>(id), matrix<float>(g_rows), floats(f), padding,
                                        {sum.mutable_data_ptr<float>(), sum.size(0), sum.size(1)});
  return sum;
}

at::Tensor add_gaussian(const at::Tensor& sum, double stddev, c10::string_view key, int64_t step, int64_t tensor) {
  const c10::DeviceGuard guard(sum.device());
  require(step >= 0 && tensor >= 0 && tensor < (1 << 24),
          cat("step and tensor name the stream: step ≥ 0 and 0 ≤ tensor < 2^24, got ", step, " and ", tensor));
  const at::Tensor values = checked("sum", sum, at::kFloat, sum);
  at::Tensor noised = at::empty_like(values, values.options().requires_grad(false));
  const StreamKey stream = RunKey::from_hex(std::string(key))
                               .stream(Purpose::noise, static_cast<uint64_t>(step), static_cast<uint32_t>(tensor));
  kernels::add_gaussian(exec_of(sum), stream, stddev, floats(values), mutable_floats(noised));
  return noised;
}

}  // namespace

void register_operators(torch::Library& library) {
  library.impl("row_norms", &row_norms);
  library.impl("outer_norms", &outer_norms);
  library.impl("ghost_norms", &sequence_norms<kernels::accumulate_ghost_norms>);
  library.impl("direct_norms", &sequence_norms<kernels::accumulate_direct_norms>);
  library.impl("embedding_norms", &embedding_norms);
  library.impl("tied_cross_norms", &tied_cross_norms);
  library.impl("clip_factors", &clip_factors);
  library.impl("clipped_rows", &clipped_rows);
  library.impl("clipped_outer", &clipped_outer);
  library.impl("clipped_embedding", &clipped_embedding);
  library.impl("add_gaussian", &add_gaussian);
}

}  // namespace sotto::python

TORCH_LIBRARY_IMPL(sotto, CPU, m) {
  sotto::python::register_operators(m);
}

// The same functions: exec_of() tells the kernels where they run.
TORCH_LIBRARY_IMPL(sotto, CUDA, m) {
  sotto::python::register_operators(m);
}
