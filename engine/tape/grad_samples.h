#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "base/view.h"
#include "cuda/exec.h"
#include "engine/tape/parameters.h"

namespace sotto {

// A use of a matrix in a linear layer: the per-sample gradient is Σ_t gradient_t activation_tᵀ over the sample's rows.
// Both are float32; of several rows a sample, both may be bfloat16.
struct FactoredUse {
  at::Tensor activation;   // [batch · length, d]
  at::Tensor gradient;     // [batch · length, p]
  int64_t length;          // rows a sample; of units with a table, at most
  int64_t bias = -1;       // the bias that this use alone feeds, carried along: it costs nothing here
  int64_t first_row = 0;   // of the parameter as a matrix of d columns, where the use has p of its rows
  bool direct = false;     // norms by the gradient itself instead of Gram matrices
  at::Tensor starts = {};  // of units (by_unit): where the rows of each begin, and the end, [batch + 1]
};

// A use of a table in an embedding: the per-sample gradient has gradient_t added to row ids_t. With one column the rows
// are single entries of the table, in the order of its memory.
struct IndexedUse {
  at::Tensor ids;       // [batch, length], int64; of units [records, length]
  at::Tensor gradient;  // [batch · length, d]
  int64_t padding_index;
  at::Tensor starts = {};  // of units, as in a FactoredUse,
  int64_t longest = 0;     // and how many ids they have at most
};

// A way to what is wanted of a batch's gradients that does not make them.
struct WithoutRows {
  const char* rule = nullptr;  // its name; none: there is no such way
  // Adds bounds of the samples' squared norms, which cover the rounding of add_clipped, or of the rows if that is none.
  std::function<void(VectorView<double> squared)> add_norms = nullptr;
  std::function<void(VectorView<const float> factors, VectorView<float> sum)> add_clipped = nullptr;
  double norm_flops = 0, kept_bytes = 0;  // a batch
};

// Per-sample gradients that would take too much memory: they are made block by block of samples, once for the norms and
// once for the sum, with the same bits, so that what is added is what was measured.
struct RecomputedUse {
  std::function<at::Tensor(int64_t first, int64_t count)> rows;  // [count, elements], float32, contiguous
  WithoutRows without_rows = {};
};

// Everything one parameter needs for its per-sample gradients. Several uses add up to one gradient, so their norm has
// cross terms: uses of one kind are joined along the sequence, a table that is also a head gets the exact cross term,
// and any other mixture is recomputed as one.
struct ParameterSamples {
  std::vector<FactoredUse> factored;
  std::vector<IndexedUse> indexed;
  std::vector<at::Tensor> stored;  // [batch, elements], float or bfloat16: the per-sample gradients themselves
  std::vector<RecomputedUse> recomputed;
  bool carried = false;  // a bias whose gradient a FactoredUse of its weight carries
};

class NormsBeside;

// The per-sample gradients of a batch, in whatever form is cheapest for each parameter.
struct GradSamples {
  int64_t batch = 0;
  std::vector<ParameterSamples> parameters;
  at::Tensor losses;                              // [batch] in double; operator's eyes only
  std::shared_ptr<NormsBeside> beside = nullptr;  // norms that were measured in the backward pass
};

// Joins the uses of each parameter: what add_squared_norms does first, and by_unit, while all samples are of one
// length.
void join_uses(const Parameters& parameters, GradSamples& grads);

// The per-sample gradients [batch, elements] of parameter `k`, whatever their form. Makes them all: for small batches.
at::Tensor gradient_rows(const GradSamples& grads, int64_t k, int64_t elements);
// Those of the samples [first, first + count), which alone are made.
at::Tensor gradient_rows(const GradSamples& grads, int64_t k, int64_t elements, int64_t first, int64_t count);

// squared[groups[k]][i] += an upper bound of ‖gradient of sample i for parameter k‖², rounding included (DESIGN §9.1);
// `squared` is [groups, batch]. Joins the uses of each parameter first. A sample with a NaN or an infinity gets a
// non-finite entry in its parameter's group.
void add_squared_norms(const Exec& exec, const Parameters& parameters, const std::vector<int64_t>& groups,
                       GradSamples& grads, at::Tensor& squared);

// The same with all parameters in one group: `squared` is [batch].
void add_squared_norms(const Exec& exec, const Parameters& parameters, GradSamples& grads, at::Tensor& squared);

// sums[k] += Σ_i factors[groups[k]][i] · (gradient of sample i for parameter k). A sample whose factor is 0 is never
// read as a number.
void add_clipped(const Exec& exec, const GradSamples& grads, const std::vector<int64_t>& groups,
                 const at::Tensor& factors, std::vector<at::Tensor>& sums);

}  // namespace sotto
