#pragma once
#include <map>
#include <vector>

#include "engine/torch.h"

namespace sotto {

// How a matrix that meets several rows of a sample gets its per-sample norms and its clipped sum. All are exact bounds;
// they differ in time and memory (dp_training §4.1: B samples, L rows each, a gradient of p rows and d columns).
enum class NormMethod {
  ghost,       // keep the factors; Gram matrices for the norms, B L (L + 1) (p + d), then one weighted product
  direct,      // keep the factors; the gradients block by block for the norms, 2 B L p d, then the product
  stored,      // make the gradients instead of the batch's and keep them, B p d floats: norms and sum read them
  recomputed,  // make the gradients block by block, once for the norms and once for the sum
  // As stored, each entry rounded to bfloat16 (8 bits, at most 2^-8 of it): half the memory. Norms are those of the
  // rounded gradients, which are what is summed, so nothing is lost of the bound; what is lost is accuracy.
  stored_bf16,
  // Of a convolution of stride 1: its input and output gradient are kept; Gram matrices of their places for the norms,
  // a box filter between them (kernels/convolution_norms); the gradients block by block for the sum.
  box_filter
};
inline constexpr NormMethod kNormMethods[] = {NormMethod::ghost,      NormMethod::direct,      NormMethod::stored,
                                              NormMethod::recomputed, NormMethod::stored_bf16, NormMethod::box_filter};
const char* to_string(NormMethod method);
constexpr bool is_stored(NormMethod method) {
  return method == NormMethod::stored || method == NormMethod::stored_bf16;
}
constexpr at::ScalarType stored_type(NormMethod method) {
  return method == NormMethod::stored_bf16 ? at::kBFloat16 : at::kFloat;
}

// One matrix's per-sample gradient as a product, Σ_t g_t a_tᵀ over `length` rows: all that the choice depends on. The
// two weights of a recurrent layer share g, so they are one product of both their columns.
struct ProductShape {
  int64_t parameter = -1;  // the first one, of several
  int64_t length = 0;      // rows a sample: of a sequence, or positions of a convolution's output
  int64_t rows = 0;        // p
  int64_t columns = 0;     // d; of a convolution, the inputs of a group times its taps
  bool convolution = false;
  int64_t image = 0;                    // of a convolution: the floats of a sample's input,
  int64_t in_channels = 0;              // its channels,
  int64_t taps = 1;                     // the kernel's places,
  bool has_factors = true;              // not so for a grouped or transposed one,
  bool has_box_filter = false;          // and whether it is of stride 1, with few enough places
  at::ScalarType factors = at::kFloat;  // what a and g are kept in: not a convolution's
  bool operator==(const ProductShape&) const = default;

  int64_t elements() const { return rows * columns; }
  std::vector<NormMethod> methods() const;
  // What a batch keeps from its backward pass until its clipped sum.
  int64_t kept_bytes(NormMethod method, int64_t batch) const;
};

// By parameter; where one is missing, method_by_shape decides.
using NormMethods = std::map<int64_t, NormMethod>;

// Without a plan: gradients are stored where they take no more memory than the factors would, a convolution's always;
// what does not fit is kept as factors, or recomputed where the factors would have to be made.
NormMethod method_by_shape(const ProductShape& shape, int64_t batch, int64_t storage_left);

}  // namespace sotto
