#pragma once
#include <cstdint>

#ifdef __CUDACC__
#define SOTTO_HOST_DEVICE __host__ __device__
#else
#define SOTTO_HOST_DEVICE
#endif

namespace sotto::kernels {

// The proofs in this folder use Higham's γ_n = n·u / (1 − n·u): n roundings in a row multiply by a factor within
// 1 ± γ_n. They assume IEEE arithmetic with gradual underflow: no -ffast-math, no flush-to-zero.
constexpr double kFloatUnit = 0x1p-24;
constexpr double kDoubleUnit = 0x1p-53;
SOTTO_HOST_DEVICE constexpr double gamma_of(double roundings, double unit) {
  return roundings * unit / (1 - roundings * unit);
}

// A sum of n ≥ 0 non-negative doubles, raised so that it is not below the true sum: γ_n < 2·n·u for n < 2^51.
SOTTO_HOST_DEVICE constexpr double raised(double sum, int64_t terms) {
  return sum * (1 + 2 * double(terms + 8) * kDoubleUnit);
}

// squared += part, rounded up: norms are summed over many layers.
SOTTO_HOST_DEVICE inline void add_up(double& squared, double part) {
  squared += part;
  squared += 4 * kDoubleUnit * (squared < 0 ? -squared : squared);
}

// A float sum takes at most this many rows before it is added to a double: longer chains would round more, shorter ones
// would pay more for the conversion.
constexpr int64_t kChain = 64;

// How far rounding can move what accumulate_clipped_outer adds for a sample of several rows, over Σ_t ‖g_t‖‖a_t‖: one
// rounding of f·g, at most kChain + 1 in the chain, and spare for the double sums. Norms of such samples include it.
constexpr double kSampleRounding = gamma_of(kChain + 4, kFloatUnit);

// Clip norms outside this range are refused: within it no clipped sum overflows, and what underflows (at most 2^-150 an
// operation) is lost in the spare of the bounds.
constexpr double kSmallestClipNorm = 0x1p-60;
constexpr double kLargestClipNorm = 0x1p60;

}  // namespace sotto::kernels
