#pragma once
#include "base/view.h"
#include "cuda/exec.h"

namespace sotto::kernels {

// How the norm n of a sample becomes its factor f ≤ 1; each keeps f·n ≤ C = clip_norm.
enum class ClipRule {
  flat,       // f = min(1, C/n): Abadi et al. 2016, algorithm 1
  automatic,  // f = C / (n + C): AUTO-S (Bu et al. 2023) with its stability constant as the unit of length, so that no
              // factor passes 1; the paper's rate is C times this one's
  psac,  // f = κ / (ν + r/(ν + r)), ν = κn/C, κ = 2√r − r: per-sample adaptive clipping (Xia et al. 2023) in units in
         // which its largest weight, at ν = √r − r, is 1
};
struct ClipFunction {
  ClipRule rule = ClipRule::flat;
  double stability = 0.1;  // r of psac, in (0, 1]
};

// factors[i] = f of √squared[i], rounded down so that what follows holds for every rule: f·√squared[i] ≤ clip_norm · (1
// − 4u). For the flat rule, factors[i] = the largest float f ≤ 1 with f · √squared[i] ≤ clip_norm · (1 − 4u), u =
// 2^-24, up to a few ulp of double. A sample whose squared norm is not finite (or negative, which no norm is) gets
// exactly 0; one of norm 0 gets 1. Then ‖fl(f·g)‖₂ ≤ clip_norm for any float vector g with ‖g‖² ≤ squared[i]: rounding
// each f·g_j to float multiplies the norm by at most 1 + u, underflow adds at most 2^-150·√P, and (1 − 4u)(1 + u) +
// 2^-150·√P / clip_norm ≤ 1 for clip_norm ≥ 2^-60 and any P < 2^128.
void clip_factors(const Exec& exec, VectorView<const double> squared, const ClipFunction& function, double clip_norm,
                  VectorView<float> factors);

struct ClipCount {
  int64_t clipped, non_finite;
};

// How many samples were scaled down, and how many were dropped because they were not finite. `factors` is on the host.
// The counts are exact statistics of private data.
ClipCount count_clipped(VectorView<const float> factors);

}  // namespace sotto::kernels
