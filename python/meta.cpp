#include "python/torch.h"

// Shapes and dtypes alone, for torch.compile, FakeTensor and torch.library.opcheck. Sizes may be symbols.
namespace sotto::python {
namespace {

using c10::SymInt;

at::Tensor norms(const SymInt& batch, const at::Tensor& like) {
  return at::empty_symint({batch}, like.options().dtype(at::kDouble).requires_grad(false));
}

at::Tensor sum(at::SymIntArrayRef shape, const at::Tensor& like) {
  return at::empty_symint(shape, like.options().requires_grad(false));
}

SymInt rows(const at::Tensor& tensor) {
  SymInt count = 1;
  for (int64_t k = 0; k + 1 < tensor.dim(); ++k) count = count * tensor.sym_size(k);
  return count;
}

at::Tensor row_norms(const at::Tensor& x) {
  return norms(x.sym_size(0), x);
}

at::Tensor outer_norms(const at::Tensor& a, const at::Tensor&, bool) {
  return norms(rows(a), a);
}

at::Tensor sequence_norms(const at::Tensor& a, const at::Tensor&, int64_t length, bool) {
  return norms(rows(a) / SymInt(length), a);
}

at::Tensor embedding_norms(const at::Tensor& ids, const at::Tensor& g, int64_t) {
  return norms(ids.sym_size(0), g);
}

at::Tensor tied_cross_norms(const at::Tensor& ids, const at::Tensor& g_embedding, const at::Tensor&, const at::Tensor&,
                            int64_t) {
  return norms(ids.sym_size(0), g_embedding);
}

at::Tensor clip_factors(const at::Tensor& squared_norms, double) {
  return at::empty_symint(squared_norms.sym_sizes(), squared_norms.options().dtype(at::kFloat).requires_grad(false));
}

at::Tensor clipped_rows(const at::Tensor& x, const at::Tensor&) {
  return at::zeros_symint(x.sym_sizes().slice(1), x.options().dtype(at::kFloat).requires_grad(false));
}

at::Tensor clipped_outer(const at::Tensor& g, const at::Tensor& a, const at::Tensor&, int64_t) {
  return sum({g.sym_size(-1), a.sym_size(-1)}, g);
}

at::Tensor clipped_embedding(const at::Tensor&, const at::Tensor& g, const at::Tensor&, int64_t table_rows, int64_t) {
  return sum({SymInt(table_rows), g.sym_size(-1)}, g);
}

at::Tensor ragged_norms(const at::Tensor& a, const at::Tensor&, const at::Tensor& starts, int64_t, bool) {
  return norms(starts.sym_size(0) - 1, a);
}

at::Tensor ragged_embedding_norms(const at::Tensor&, const at::Tensor& g, const at::Tensor& starts, int64_t, int64_t) {
  return norms(starts.sym_size(0) - 1, g);
}

at::Tensor ragged_tied_cross_norms(const at::Tensor&, const at::Tensor& g_embedding, const at::Tensor& starts, int64_t,
                                   const at::Tensor&, const at::Tensor&, const at::Tensor&, int64_t, int64_t) {
  return norms(starts.sym_size(0) - 1, g_embedding);
}

at::Tensor ragged_clipped_outer(const at::Tensor& g, const at::Tensor& a, const at::Tensor&, const at::Tensor&,
                                int64_t) {
  return sum({g.sym_size(-1), a.sym_size(-1)}, g);
}

at::Tensor ragged_clipped_embedding(const at::Tensor&, const at::Tensor& g, const at::Tensor&, const at::Tensor&,
                                    int64_t, int64_t table_rows, int64_t) {
  return sum({SymInt(table_rows), g.sym_size(-1)}, g);
}

at::Tensor add_gaussian(const at::Tensor& values, double, c10::string_view, int64_t, int64_t) {
  return sum(values.sym_sizes(), values);
}

}  // namespace
}  // namespace sotto::python

TORCH_LIBRARY_IMPL(sotto, Meta, m) {
  using namespace sotto::python;
  m.impl("row_norms", &row_norms);
  m.impl("outer_norms", &outer_norms);
  m.impl("ghost_norms", &sequence_norms);
  m.impl("direct_norms", &sequence_norms);
  m.impl("embedding_norms", &embedding_norms);
  m.impl("tied_cross_norms", &tied_cross_norms);
  m.impl("clip_factors", &clip_factors);
  m.impl("clipped_rows", &clipped_rows);
  m.impl("clipped_outer", &clipped_outer);
  m.impl("clipped_embedding", &clipped_embedding);
  m.impl("ragged_ghost_norms", &ragged_norms);
  m.impl("ragged_direct_norms", &ragged_norms);
  m.impl("ragged_embedding_norms", &ragged_embedding_norms);
  m.impl("ragged_tied_cross_norms", &ragged_tied_cross_norms);
  m.impl("ragged_clipped_outer", &ragged_clipped_outer);
  m.impl("ragged_clipped_embedding", &ragged_clipped_embedding);
  m.impl("add_gaussian", &add_gaussian);
}
