#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/embedding_norms/embedding_norms.h"
#include "kernels/ghost_norms/ghost_norms.h"
#include "python/arguments.h"
#include "python/exec.h"

// The operators of samples whose rows lie one after the other, without padding: a table says where each begins.
namespace sotto::python {
namespace {

// `starts` is [B + 1] and ascends from 0 to the number of rows; `longest` is the most that a sample has. Kernels check
// both, but never read a table on a device.
kernels::Segments segments(const char* name, const at::Tensor& starts, int64_t longest) {
  require(starts.dim() == 1 && starts.numel() >= 1,
          cat(name, " must have an entry a sample and one for the end, got shape ", starts.sizes()));
  return {starts.numel() - 1, longest, starts.const_data_ptr<int64_t>()};
}

at::Tensor table(const char* name, const at::Tensor& starts, const at::Tensor& beside) {
  return checked(name, starts, at::kLong, beside);
}

at::Tensor id_row(const at::Tensor& ids, const at::Tensor& beside) {
  require(ids.dim() == 1, cat("ids must be [rows], got shape ", ids.sizes()));
  return checked("ids", ids, at::kLong, beside);
}

VectorView<const int64_t> id_vector(const at::Tensor& ids) {
  return {ids.const_data_ptr<int64_t>(), ids.numel()};
}

using RaggedNorms = void (*)(const Exec&, MatrixView<const float>, MatrixView<const float>, const kernels::Segments&,
                             bool, VectorView<double>);

template <RaggedNorms kernel>
at::Tensor ragged_norms(const at::Tensor& a, const at::Tensor& g, const at::Tensor& starts, int64_t longest,
                        bool bias) {
  const c10::DeviceGuard guard(a.device());
  const at::Tensor a_rows = rows("a", a, a), g_rows = rows("g", g, a), own = table("starts", starts, a);
  const kernels::Segments samples = segments("starts", own, longest);
  at::Tensor squared = zero_norms(samples.count, a);
  kernel(exec_of(a), matrix<float>(a_rows), matrix<float>(g_rows), samples, bias, doubles(squared));
  return squared;
}

at::Tensor ragged_embedding_norms(const at::Tensor& ids, const at::Tensor& g, const at::Tensor& starts, int64_t longest,
                                  int64_t padding) {
  const c10::DeviceGuard guard(g.device());
  const at::Tensor id = id_row(ids, g), g_rows = rows("g", g, g), own = table("starts", starts, g);
  const kernels::Segments samples = segments("starts", own, longest);
  at::Tensor squared = zero_norms(samples.count, g);
  kernels::accumulate_ragged_embedding_norms(exec_of(g), id_vector(id), matrix<float>(g_rows), samples, padding,
                                             doubles(squared));
  return squared;
}

at::Tensor ragged_tied_cross_norms(const at::Tensor& ids, const at::Tensor& g_embedding, const at::Tensor& starts,
                                   int64_t longest, const at::Tensor& a_head, const at::Tensor& g_head,
                                   const at::Tensor& head_starts, int64_t head_longest, int64_t padding) {
  const c10::DeviceGuard guard(g_embedding.device());
  const at::Tensor id = id_row(ids, g_embedding), g_rows = rows("g_embedding", g_embedding, g_embedding),
                   a_rows = rows("a_head", a_head, g_embedding), h_rows = rows("g_head", g_head, g_embedding),
                   own = table("starts", starts, g_embedding), head = table("head_starts", head_starts, g_embedding);
  const kernels::Segments samples = segments("starts", own, longest);
  at::Tensor squared = zero_norms(samples.count, g_embedding);
  kernels::accumulate_ragged_tied_cross_norms(exec_of(g_embedding), id_vector(id), matrix<float>(g_rows), samples,
                                              padding, matrix<float>(a_rows), matrix<float>(h_rows),
                                              segments("head_starts", head, head_longest), doubles(squared));
  return squared;
}

at::Tensor ragged_clipped_outer(const at::Tensor& g, const at::Tensor& a, const at::Tensor& factors,
                                const at::Tensor& starts, int64_t longest) {
  const c10::DeviceGuard guard(g.device());
  const at::Tensor g_rows = rows("g", g, g), a_rows = rows("a", a, g), f = checked("factors", factors, at::kFloat, g),
                   own = table("starts", starts, g);
  at::Tensor sum = zeros({g_rows.size(1), a_rows.size(1)}, g);
  kernels::accumulate_ragged_clipped_outer(exec_of(g), matrix<float>(g_rows), matrix<float>(a_rows), floats(f),
                                           segments("starts", own, longest),
                                           {sum.mutable_data_ptr<float>(), sum.size(0), sum.size(1)}, {nullptr, 0});
  return sum;
}

at::Tensor ragged_clipped_embedding(const at::Tensor& ids, const at::Tensor& g, const at::Tensor& factors,
                                    const at::Tensor& starts, int64_t longest, int64_t table_rows, int64_t padding) {
  const c10::DeviceGuard guard(g.device());
  require(table_rows >= 0, cat("rows must not be negative, got ", table_rows));
  const at::Tensor id = id_row(ids, g), g_rows = rows("g", g, g), f = checked("factors", factors, at::kFloat, g),
                   own = table("starts", starts, g);
  at::Tensor sum = zeros({table_rows, g_rows.size(1)}, g);
  kernels::accumulate_ragged_clipped_embedding(exec_of(g), id_vector(id), matrix<float>(g_rows), floats(f),
                                               segments("starts", own, longest), padding,
                                               {sum.mutable_data_ptr<float>(), sum.size(0), sum.size(1)});
  return sum;
}

}  // namespace

void register_ragged_operators(torch::Library& library) {
  library.impl("ragged_ghost_norms", &ragged_norms<kernels::accumulate_ragged_ghost_norms>);
  library.impl("ragged_direct_norms", &ragged_norms<kernels::accumulate_ragged_direct_norms>);
  library.impl("ragged_embedding_norms", &ragged_embedding_norms);
  library.impl("ragged_tied_cross_norms", &ragged_tied_cross_norms);
  library.impl("ragged_clipped_outer", &ragged_clipped_outer);
  library.impl("ragged_clipped_embedding", &ragged_clipped_embedding);
}

}  // namespace sotto::python

TORCH_LIBRARY_IMPL(sotto, CPU, m) {
  sotto::python::register_ragged_operators(m);
}

// The same functions: exec_of() tells the kernels where they run.
TORCH_LIBRARY_IMPL(sotto, CUDA, m) {
  sotto::python::register_ragged_operators(m);
}
