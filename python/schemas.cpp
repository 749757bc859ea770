#include "engine/models/routed_linear.h"
#include "python/torch.h"

// torch.ops.sotto: the kernels of sotto on PyTorch's tensors, loaded by torch.ops.load_library("libsotto_ops.so").
// Every operator returns new tensors and is deterministic. Norms are *squared* and in float64, so that those of all
// layers add up; each is an upper bound, rounding included, of what the clipped sums below make of the sample.
// docs/python.md has the formulas; kernels/*/*.h are the contracts.
TORCH_LIBRARY(sotto, m) {
  m.def("row_norms(Tensor x) -> Tensor");
  m.def("outer_norms(Tensor a, Tensor g, bool bias=False) -> Tensor");
  m.def("ghost_norms(Tensor a, Tensor g, int length, bool bias=False) -> Tensor");
  m.def("direct_norms(Tensor a, Tensor g, int length, bool bias=False) -> Tensor");
  m.def("embedding_norms(Tensor ids, Tensor g, int padding_idx=-1) -> Tensor");
  m.def("tied_cross_norms(Tensor ids, Tensor g_embedding, Tensor a_head, Tensor g_head, int padding_idx=-1) -> Tensor");
  m.def("clip_factors(Tensor squared_norms, float clip_norm) -> Tensor");
  m.def("clipped_rows(Tensor x, Tensor factors) -> Tensor");
  m.def("clipped_outer(Tensor g, Tensor a, Tensor factors, int length=1) -> Tensor");
  m.def("clipped_embedding(Tensor ids, Tensor g, Tensor factors, int rows, int padding_idx=-1) -> Tensor");
  // Of samples that have the rows from starts[i] up to starts[i + 1], at most `longest`.
  m.def("ragged_ghost_norms(Tensor a, Tensor g, Tensor starts, int longest, bool bias=False) -> Tensor");
  m.def("ragged_direct_norms(Tensor a, Tensor g, Tensor starts, int longest, bool bias=False) -> Tensor");
  m.def("ragged_embedding_norms(Tensor ids, Tensor g, Tensor starts, int longest, int padding_idx=-1) -> Tensor");
  m.def(
      "ragged_tied_cross_norms(Tensor ids, Tensor g_embedding, Tensor starts, int longest, Tensor a_head, "
      "Tensor g_head, Tensor head_starts, int head_longest, int padding_idx=-1) -> Tensor");
  m.def("ragged_clipped_outer(Tensor g, Tensor a, Tensor factors, Tensor starts, int longest) -> Tensor");
  m.def(
      "ragged_clipped_embedding(Tensor ids, Tensor g, Tensor factors, Tensor starts, int longest, int rows, "
      "int padding_idx=-1) -> Tensor");
  m.def("add_gaussian(Tensor sum, float stddev, str key, int step, int tensor) -> Tensor");
  sotto::define_routed_linear();  // a layer, so that models which `sotto train` knows can be written in Python
}
