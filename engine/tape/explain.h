#pragma once
#include <set>
#include <string>
#include <vector>

#include "engine/tape/tape.h"

namespace sotto {

// How the tape gets one parameter's per-sample norms, and what that costs a batch. Predicted from shapes, not timed.
struct ParameterRule {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<std::string> operations;  // what uses it, in forward order, each once
  // outer product, ghost, direct, stored, stored_bf16, recomputed, box_filter, embedding, embedding + tied head, with
  // its weight (a bias that costs nothing), per-sample pass (slow), or no gradient reaches it
  std::string rule;
  double flops = 0;        // multiplications and additions for the squared norms
  double bytes = 0;        // kept for the norms and the clipped sum: factors or gradients
  double least_flops = 0;  // of the cheapest exact way for these shapes, whatever rule was taken
};

// From what one pass left (before add_squared_norms joins it) and the uses that it recorded.
//
// p and d are a weight's rows and columns, L a sample's rows, B the batch, P a parameter's elements:
//   outer product      2B(p + d)          one row a sample
//   ghost              B L(L + 1)(p + d)   the lower triangles of two Gram matrices, a shared one counted once
//   direct             2B L p d            the gradients, tile by tile
//   stored             2B P               the gradients are made instead of the weight's, so only squaring them is
//                                           extra
//   stored_bf16        2B P                as stored, each entry rounded to 8 bits
//   recomputed         2B P + 2B L P       made once more for the sum
//   box_filter         B (P(P + 1) C + L(L + 1)(p + K/2))   of P places, C channels and K taps, both Gram matrices and
//                                           the filter between them; made once for the sum in place of the batch's
//   embedding          2B L d
//   embedding + head   both, and 2B L_e L_h d for the cross term
// least_flops of a weight is the least of ghost, of forming the gradient by itself (2B L p d, "direct") and of storing:
// 2B P for the norms and 2B P for the weighted sum (dp_training.md §4.1 and §4.3).
std::vector<ParameterRule> explain(const Parameters& parameters, const GradSamples& grads,
                                   const std::vector<RecordedUse>& uses, const std::set<int64_t>& uncaptured);

// What exact flat clipping must cost at least: 1 + Σ least_flops / step_flops (flops.h), in FLOPs and not in time.
// Noise and update are not in it.
double flop_floor(const std::vector<ParameterRule>& rules, double step_flops);

}  // namespace sotto
