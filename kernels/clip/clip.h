#pragma once
#include "base/view.h"
#include "cuda/exec.h"

namespace sotto::kernels {

// factors[i] = the largest float f ≤ 1 with f · √squared[i] ≤ clip_norm · (1 − 4u), u = 2^-24, up to a few ulp of
// double. A sample whose squared norm is not finite (or negative, which no norm is) gets exactly 0; one of norm 0
// gets 1. Then ‖fl(f·g)‖₂ ≤ clip_norm for any float vector g with ‖g‖² ≤ squared[i]: rounding each f·g_j to float
// multiplies the norm by at most 1 + u, underflow adds at most 2^-150·√P, and (1 − 4u)(1 + u) + 2^-150·√P / clip_norm ≤
// 1 for clip_norm ≥ 2^-60 and any P < 2^128.
void clip_factors(const Exec& exec, VectorView<const double> squared, double clip_norm, VectorView<float> factors);

struct ClipCount {
  int64_t clipped, non_finite;
};

// How many samples were scaled down, and how many were dropped because they were not finite. `factors` is on the host.
// The counts are exact statistics of private data.
ClipCount count_clipped(VectorView<const float> factors);

}  // namespace sotto::kernels
